import holdpoint.Parameters
import holdpoint.Runner

/** Executes the manifest's playbook: the way back. See holdpointRollback.txt. */
void call(Map given) {
    Parameters parameters = new Parameters(given)
    Runner runner = new Runner(this, parameters)
    runner.check('holdpointRollback', ['id', 'plan', 'force'])
    List words = parameters.commandLine('rollback') + runner.release()
    if (parameters.text('plan') == 'true') {
        words.add('--plan')
    } else {
        // Calling this step is the confirmation; the name makes sure that it is about the same environment.
        words.addAll(parameters.option('yes', parameters.text('environment')))
    }
    words.addAll(parameters.option('force', parameters.text('force')))
    words.addAll(parameters.list('args'))
    runner.run(words, [], '')
}
