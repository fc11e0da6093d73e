import holdpoint.Parameters
import holdpoint.Runner

/** Checks the manifest against what runs after the deploy; anything but a match stops the pipeline. See holdpointReconcile.txt. */
void call(Map given) {
    Parameters parameters = new Parameters(given)
    Runner runner = new Runner(this, parameters)
    runner.check('holdpointReconcile', ['id', 'deployed', 'expect', 'wait'])
    List words = parameters.commandLine('reconcile') + runner.release()
    for (name in ['deployed', 'expect', 'wait']) {
        words.addAll(parameters.option(name, parameters.text(name)))
    }
    words.addAll(parameters.list('args'))
    runner.run(words, [], parameters.text('wait'))
}
