package holdpoint

/**
 * Runs the binary as a step of a pipeline: credentials around it, its record archived after it, its refusal as an error.
 *
 * The binary decides, and knows how to say it; this only carries. Everything but exit code 0 stops the pipeline.
 */
class Runner implements Serializable {
    private static final long serialVersionUID = 1L

    /** The file in which the binary leaves one line for the build. */
    static final String DESCRIPTION = 'holdpoint-description.txt'

    /** How many seconds the binary has beyond its own deadline before the pipeline ends it: it takes up to ten. */
    static final int MARGIN = 120

    final Object steps
    final Parameters parameters

    Runner(Object steps, Parameters parameters) {
        this.steps = steps
        this.parameters = parameters
    }

    /** Stops the pipeline before anything ran, if it gave what the step does not take. */
    void check(String step, List more) {
        String mistake = parameters.mistake(step, more)
        if (mistake != '') {
            steps.error(mistake + '; do not deploy')
        }
    }

    /**
     * Runs the binary.
     *
     * @param words the program and its arguments
     * @param files what it writes and the build keeps, also when it refuses
     * @param own the deadline that it was given, as it was given
     */
    void run(List words, List files, String own) {
        int seconds = Parameters.seconds(own)
        if (seconds > 0) {
            steps.timeout(time: seconds + MARGIN, unit: 'SECONDS') {
                attempt(words, files)
            }
        } else {
            attempt(words, files)
        }
    }

    void attempt(List words, List files) {
        // Agents keep workspaces: what an earlier build left there must not pass for the record of this one, whatever fails from here on.
        steps.sh(label: 'Remove earlier records', script: 'rm -f -- ' + Parameters.line([DESCRIPTION] + files))
        // `exec`, because what cancels a build signals the shell.
        String script = 'exec ' + Parameters.line(words)
        def status = null
        try {
            withSecrets {
                status = steps.sh(label: 'holdpoint ' + words.get(1), returnStatus: true, script: script)
            }
        } finally {
            describe()
            if (!files.isEmpty()) {
                steps.archiveArtifacts(artifacts: listed(files), allowEmptyArchive: true, fingerprint: true)
            }
        }
        if (status != 0) {
            steps.error(lastWords(words.get(1), status))
        }
    }

    /** Runs a body with the secrets in its environment, and the binary told where it is. */
    void withSecrets(Closure body) {
        List bindings = credentials()
        List variables = steps.env.HOLDPOINT_CI ? [] : ['HOLDPOINT_CI=jenkins']
        steps.withEnv(variables) {
            if (bindings.isEmpty()) {
                body.call()
            } else {
                steps.withCredentials(bindings) {
                    body.call()
                }
            }
        }
    }

    /** Returns the bindings of the credentials that were named. */
    List credentials() {
        List found = []
        String password = parameters.text('passwordCredentials')
        if (password != '') {
            found.add(steps.string(credentialsId: password, variable: 'HOLDPOINT_PASSWORD'))
        }
        String key = parameters.text('signingKeyCredentials')
        if (key != '') {
            found.add(steps.file(credentialsId: key, variable: 'HOLDPOINT_SIGNING_KEY'))
        }
        String signers = parameters.text('allowedSignersCredentials')
        if (signers != '') {
            found.add(steps.file(credentialsId: signers, variable: 'HOLDPOINT_ALLOWED_SIGNERS'))
        }
        String aws = parameters.text('awsCredentials')
        if (aws != '') {
            found.add(steps.usernamePassword(credentialsId: aws, usernameVariable: 'AWS_ACCESS_KEY_ID', passwordVariable: 'AWS_SECRET_ACCESS_KEY'))
        }
        Map secrets = parameters.given.get('secrets') ?: [:]
        for (variable in secrets.keySet()) {
            found.add(steps.string(credentialsId: secrets.get(variable).toString(), variable: variable.toString()))
        }
        return found
    }

    /** Returns the line that the binary left for the build; empty if it left none. */
    String line() {
        return steps.fileExists(DESCRIPTION) ? steps.readFile(file: DESCRIPTION, encoding: 'UTF-8').trim() : ''
    }

    /** Shows the binary's line on the page of the build. */
    void describe() {
        String line = line()
        if (line != '') {
            steps.currentBuild.description = line
        }
    }

    /** Returns what is said of a refusal: the binary's own last words where it could leave them. */
    String lastWords(String command, Object status) {
        String line = line()
        String words = line == '' ? 'holdpoint ' + command + ' left no word; do not deploy' : unescaped(line)
        return words + ' (exit code ' + status + ')'
    }

    /** Returns the text of a line that was made safe for a page. */
    static String unescaped(String line) {
        String text = line.replace('&lt;', '<').replace('&gt;', '>').replace('&quot;', '"').replace('&#39;', "'")
        return text.replace('&amp;', '&')
    }

    /** Keeps the manifest for later stages. */
    void stash() {
        String manifest = parameters.manifest()
        steps.stash(name: parameters.stashName(), includes: listed([manifest, manifest + '.sig']))
    }

    /** Returns the arguments that name a release: its id, else the manifest that the gate of this build kept. */
    List release() {
        String id = parameters.text('id')
        if (id != '') {
            return parameters.option('id', id)
        }
        steps.unstash(parameters.stashName())
        return parameters.option('manifest', parameters.manifest())
    }

    static String listed(List files) {
        String listed = ''
        for (file in files) {
            listed = listed + (listed == '' ? '' : ',') + file
        }
        return listed
    }
}
