/** One build: its environment, what it keeps, and the steps played for real. */
class Build {
    final File workspace
    final File kept
    final Map scenario
    final Map vars = [:]
    final Map params = [:]
    final CurrentBuild currentBuild = new CurrentBuild()
    /** The environment, the innermost last. */
    List environments = []
    /** The block steps around what runs now. */
    List around = []
    List secrets = []
    Map stashes = [:]
    /** What the test looks at. */
    Map report = [stages: [:], shells: [], timeouts: [], locks: [], archived: [], signals: []]
    final StringBuffer log = new StringBuffer()

    Build(Map scenario) {
        this.scenario = scenario
        workspace = new File(scenario.workspace)
        kept = new File(scenario.kept)
        environments.add(scenario.environment)
    }

    Map environment() {
        Map all = [:]
        environments.each { all.putAll(it) }
        return all
    }

    void say(Object line) {
        String text = line.toString()
        // As Jenkins does: secrets are hidden while they are bound, and nothing else.
        secrets.each { text = text.replace(it, '****') }
        log.append(text).append('\n')
    }

    Object global(String name) {
        switch (name) {
            case 'params': return params
            case 'env': return new Environment(this)
            case 'currentBuild': return currentBuild
            case { vars.containsKey(it) }: return vars[name]
            default: throw new MissingPropertyException('no such variable: ' + name)
        }
    }

    Object call(String name, List given) {
        if (vars.containsKey(name)) {
            return vars[name].invokeMethod('call', given as Object[])
        }
        if (name == 'pipeline') {
            return new Declarative(this).run(given)
        }
        Steps.check(Steps.known(name), "there is no step $name")
        Map arguments = Steps.arguments(name, given)
        return "$name"(arguments)
    }

    Object block(String name, Map arguments) {
        around.add(name)
        try {
            return arguments.body.call()
        } finally {
            around.remove(around.size() - 1)
        }
    }

    Object withVariables(Map variables, String name, Map arguments) {
        environments.add(variables)
        try {
            return block(name, arguments)
        } finally {
            environments.remove(environments.size() - 1)
        }
    }

    File inWorkspace(Object path) {
        File file = new File(path.toString())
        return file.absolute ? file : new File(workspace, path.toString())
    }

    List matching(Object patterns) {
        List found = patterns.toString().split(',').collect { it.trim() }.findAll { inWorkspace(it).isFile() }
        Steps.check(!patterns.toString().contains('*'), 'patterns are not played')
        return found
    }

    // The steps.

    Object script(Map arguments) {
        return arguments.body.call()
    }

    Object timeout(Map arguments) {
        Map units = [SECONDS: 1, MINUTES: 60, HOURS: 3600, DAYS: 86400]
        String unit = arguments.unit ?: 'MINUTES'
        Steps.check(units.containsKey(unit), "no unit of time: $unit")
        report.timeouts.add(arguments.time * units[unit])
        return block('timeout', arguments)
    }

    Object lock(Map arguments) {
        Steps.check(arguments.resource || arguments.label, 'lock needs a resource or a label')
        report.locks.add((arguments.resource ?: arguments.label).toString())
        return block('lock', arguments)
    }

    Object withEnv(Map arguments) {
        Map variables = arguments.overrides.collectEntries { it.toString().split('=', 2) as List }
        return withVariables(variables, 'withEnv', arguments)
    }

    Object withCredentials(Map arguments) {
        Map variables = [:]
        List files = []
        int before = secrets.size()
        try {
            arguments.bindings.each { bind(it, variables, files) }
            return withVariables(variables, 'withCredentials', arguments)
        } finally {
            files*.delete()
            secrets = secrets.take(before)
        }
    }

    private void bind(Map binding, Map variables, List files) {
        Object credential = scenario.credentials[binding.credentialsId.toString()]
        Steps.check(credential != null, "there are no credentials ${binding.credentialsId}")
        if (binding.kind == 'usernamePassword') {
            variables[binding.usernameVariable.toString()] = credential.username
            variables[binding.passwordVariable.toString()] = credential.password
            secrets.addAll([credential.username, credential.password])
        } else if (binding.kind == 'file') {
            File file = File.createTempFile('secret', '')
            file.setReadable(false, false)
            file.setReadable(true, true)
            file.text = credential
            files.add(file)
            variables[binding.variable.toString()] = file.path
            secrets.add(file.path)
        } else {
            variables[binding.variable.toString()] = credential
            secrets.add(credential)
        }
    }

    Object string(Map arguments) { return arguments + [kind: 'string'] }

    Object file(Map arguments) { return arguments + [kind: 'file'] }

    Object usernamePassword(Map arguments) { return arguments + [kind: 'usernamePassword'] }

    Object echo(Map arguments) { say(arguments.message) }

    Object error(Map arguments) { throw new Exception(arguments.message.toString()) }

    Object fileExists(Map arguments) { return inWorkspace(arguments.file).exists() }

    Object readFile(Map arguments) { return inWorkspace(arguments.file).getText(arguments.encoding?.toString() ?: 'UTF-8') }

    Object sh(Map arguments) {
        Shell shell = new Shell(directory: workspace, environment: environment().collectEntries { [it.key, it.value.toString()] })
        Map interrupt = scenario.interrupt
        if (interrupt != null && !report.interrupted) {
            shell.interrupted = { new File(interrupt.when).list() ? interrupt.kind : null }
        }
        report.shells.add([label: arguments.label?.toString(), around: new ArrayList(around)])
        StringBuilder output = arguments.returnStdout ? new StringBuilder() : null
        int status
        try {
            status = shell.run(arguments.script.toString(), this.&say, output)
        } finally {
            report.signals.addAll(shell.signals)
            report.interrupted = report.interrupted || !shell.signals.isEmpty()
        }
        if (arguments.returnStatus) {
            return status
        }
        if (status != 0) {
            throw new Exception('script returned exit code ' + status)
        }
        return output?.toString()
    }

    Object archiveArtifacts(Map arguments) {
        List found = matching(arguments.artifacts)
        Steps.check(!found.isEmpty() || arguments.allowEmptyArchive, "nothing to archive: ${arguments.artifacts}")
        found.each { copy(inWorkspace(it), new File(kept, it)) }
        report.archived.addAll(found)
    }

    Object stash(Map arguments) {
        Steps.check(arguments.name ==~ /[A-Za-z0-9_.-]+/, "not a name for a stash: ${arguments.name}")
        List found = matching(arguments.includes)
        Steps.check(!found.isEmpty() || arguments.allowEmpty, "nothing to stash: ${arguments.includes}")
        stashes[arguments.name.toString()] = found.collectEntries { [it, inWorkspace(it).bytes] }
    }

    Object unstash(Map arguments) {
        Map files = stashes[arguments.name.toString()]
        Steps.check(files != null, "no such stash: ${arguments.name}")
        files.each { path, bytes -> inWorkspace(path).bytes = bytes }
    }

    private static void copy(File from, File to) {
        to.parentFile.mkdirs()
        to.bytes = from.bytes
    }
}

/** The build as a pipeline sees it. */
class CurrentBuild {
    static final List ORDER = [null, 'SUCCESS', 'UNSTABLE', 'FAILURE', 'NOT_BUILT', 'ABORTED']
    String description
    private String result

    String getResult() { return result }

    String getCurrentResult() { return result ?: 'SUCCESS' }

    /** A result only ever gets worse. */
    void setResult(String worse) {
        if (ORDER.indexOf(worse) > ORDER.indexOf(result)) {
            result = worse
        }
    }
}

/** `env`. */
class Environment {
    private final Build build

    Environment(Build build) {
        this.@build = build
    }

    Object getProperty(String name) {
        return this.@build.environment()[name]
    }

    void setProperty(String name, Object value) {
        this.@build.environments.first()[name] = value.toString()
    }
}
