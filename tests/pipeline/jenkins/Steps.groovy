/**
 * The steps that a pipeline may call, with the parameters that Jenkins' own have; the first of each may be given without its name.
 *
 * The names and types are those of the plugins workflow-basic-steps, workflow-durable-task-step, credentials-binding and
 * lockable-resources. What is not in this table is refused: a step that is misspelled here would be misspelled there.
 */
class Steps {
    static final Map TABLE = [
        sh: [script: CharSequence, encoding: CharSequence, label: CharSequence, returnStatus: Boolean, returnStdout: Boolean],
        echo: [message: CharSequence],
        error: [message: CharSequence],
        fileExists: [file: CharSequence],
        readFile: [file: CharSequence, encoding: CharSequence],
        archiveArtifacts: [
            artifacts: CharSequence, allowEmptyArchive: Boolean, caseSensitive: Boolean, defaultExcludes: Boolean, excludes: CharSequence,
            fingerprint: Boolean, followSymlinks: Boolean, onlyIfSuccessful: Boolean,
        ],
        stash: [name: CharSequence, allowEmpty: Boolean, excludes: CharSequence, includes: CharSequence, useDefaultExcludes: Boolean],
        unstash: [name: CharSequence],
        string: [credentialsId: CharSequence, variable: CharSequence],
        file: [credentialsId: CharSequence, variable: CharSequence],
        usernamePassword: [credentialsId: CharSequence, usernameVariable: CharSequence, passwordVariable: CharSequence],
    ]

    /** Those that have a body. */
    static final Map BLOCKS = [
        script: [:],
        timeout: [time: Integer, unit: CharSequence, activity: Boolean],
        lock: [resource: CharSequence, label: CharSequence, inversePrecedence: Boolean, quantity: Integer, skipIfLocked: Boolean, variable: CharSequence],
        withCredentials: [bindings: List],
        withEnv: [overrides: List],
    ]

    /** Those that cannot do without some parameters. */
    static final Map REQUIRED = [
        sh: ['script'], echo: ['message'], error: ['message'], fileExists: ['file'], readFile: ['file'], archiveArtifacts: ['artifacts'],
        stash: ['name'], unstash: ['name'], string: ['credentialsId', 'variable'], file: ['credentialsId', 'variable'],
        usernamePassword: ['credentialsId', 'usernameVariable', 'passwordVariable'], timeout: ['time'], withCredentials: ['bindings'],
        withEnv: ['overrides'],
    ]

    static boolean known(String name) {
        return TABLE.containsKey(name) || BLOCKS.containsKey(name)
    }

    /** Returns the named parameters of a call, checked, and its body under the name `body`. */
    static Map arguments(String name, List given) {
        Map types = TABLE[name] ?: BLOCKS[name]
        Map found = [:]
        List rest = new ArrayList(given)
        if (BLOCKS.containsKey(name)) {
            check(!rest.isEmpty() && rest.last() instanceof Closure, "$name needs a body")
            found.body = rest.remove(rest.size() - 1)
        }
        if (!rest.isEmpty() && rest.first() instanceof Map) {
            found.putAll(rest.remove(0))
        } else if (!rest.isEmpty()) {
            check(!types.isEmpty(), "$name takes no parameter")
            found[types.keySet().first()] = rest.remove(0)
        }
        check(rest.isEmpty(), "$name is given too much: $rest")
        found.each { parameter, value ->
            check(parameter == 'body' || types.containsKey(parameter), "$name has no parameter $parameter")
            check(parameter == 'body' || types[parameter].isInstance(value), "$name: $parameter cannot be ${value?.class?.simpleName}")
        }
        REQUIRED[name].each { check(found.containsKey(it), "$name needs $it") }
        return found
    }

    static void check(boolean fine, Object message) {
        if (!fine) {
            throw new IllegalArgumentException(message.toString())
        }
    }
}
