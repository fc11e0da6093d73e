import java.util.concurrent.TimeUnit

/** Runs a script as the agent does, `sh -xe FILE`, and ends it as Jenkins does when the build is cancelled. */
class Shell {
    /** How long a cancelled process has after SIGINT until SIGTERM comes. */
    static final long PATIENCE = 7500

    File directory
    Map environment
    /** Returns what to interrupt for, or null; asked while the script runs. */
    Closure interrupted = { null }
    /** The signals that were sent. */
    List signals = []

    /** Runs a script and returns its exit code; what it writes goes to `log`, its standard output to `output` if there is one. */
    int run(String script, Closure log, StringBuilder output) {
        File file = File.createTempFile('script', '.sh')
        try {
            file.setText(script, 'UTF-8')
            ProcessBuilder builder = new ProcessBuilder('/bin/sh', '-xe', file.path)
            builder.directory(directory)
            builder.environment().clear()
            builder.environment().putAll(environment)
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
                signal(process, 'INT')
                if (!process.waitFor(PATIENCE, TimeUnit.MILLISECONDS)) {
                    signal(process, 'TERM')
                    process.waitFor()
                }
                return kind
            }
        }
        return null
    }

    private void signal(Process process, String name) {
        signals.add(name)
        // The method of the public class: that of the class behind it is closed to reflection.
        String pid = Process.getMethod('pid').invoke(process).toString()
        new ProcessBuilder('kill', '-' + name, pid).start().waitFor()
    }
}
