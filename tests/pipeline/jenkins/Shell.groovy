import java.util.concurrent.TimeUnit

/** Runs a script as the agent does, `sh -xe FILE`, and ends it as Jenkins does when the build is cancelled: by its cookie. */
class Shell {
    /** The variable by which Jenkins knows the processes of a build. */
    static final String COOKIE = 'JENKINS_SERVER_COOKIE'
    /** How long a cancelled process has after SIGTERM until SIGKILL comes. */
    static final long PATIENCE = 7500

    File directory
    Map environment
    /** Returns what to interrupt for, or null; asked while the script runs. */
    Closure interrupted = { null }
    /** The signals that were sent. */
    List signals = []
    private final String cookie = 'durable-' + UUID.randomUUID()

    /** Runs a script and returns its exit code; what it writes goes to `log`, its standard output to `output` if there is one. */
    int run(String script, Closure log, StringBuilder output) {
        File file = File.createTempFile('script', '.sh')
        try {
            file.setText(script, 'UTF-8')
            ProcessBuilder builder = new ProcessBuilder('/bin/sh', '-xe', file.path)
            builder.directory(directory)
            builder.environment().clear()
            builder.environment().putAll(environment)
            builder.environment().put(COOKIE, cookie)
            builder.redirectInput(new File('/dev/null'))
            Process process = builder.start()
            List readers = [
                Thread.start { read(process.inputStream, output == null ? log : { output.append(it).append('\n') }) },
                Thread.start { read(process.errorStream, log) },
            ]
            String kind = watch(process)
            readers*.join()
            if (kind != null) {
                throw new Interrupted(kind)
            }
            return process.exitValue()
        } finally {
            file.delete()
        }
    }

    private static void read(InputStream stream, Closure log) {
        stream.withReader('UTF-8') { reader -> reader.eachLine { line -> log(line) } }
    }

    private String watch(Process process) {
        while (!process.waitFor(5, TimeUnit.MILLISECONDS)) {
            String kind = interrupted()
            if (kind != null) {
                signal('TERM')
                if (!process.waitFor(PATIENCE, TimeUnit.MILLISECONDS)) {
                    signal('KILL')
                    process.waitFor()
                }
                return kind
            }
        }
        return null
    }

    private void signal(String name) {
        signals.add(name)
        new ProcessBuilder(['kill', '-' + name] + processes()).start().waitFor()
    }

    /** The processes that have the cookie in their environment, in the order in which they were started. */
    private List processes() {
        String mark = COOKIE + '=' + cookie
        List found = new File('/proc').list().findAll { it.isInteger() && variables(it).contains(mark) }
        return found.sort { it.toInteger() }
    }

    private static List variables(String pid) {
        try {
            return new File("/proc/$pid/environ").getText('UTF-8').split('\0') as List
        } catch (IOException gone) {
            return []
        }
    }
}
