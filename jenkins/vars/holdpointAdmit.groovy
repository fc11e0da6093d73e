import holdpoint.Parameters
import holdpoint.Runner

/** Demands the proof of a pass, in the stage that deploys; without it the pipeline stops there. See holdpointAdmit.txt. */
void call(Map given) {
    Parameters parameters = new Parameters(given)
    Runner runner = new Runner(this, parameters)
    runner.check('holdpointAdmit', ['release', 'commit', 'allowedSigners'])
    List words = parameters.commandLine('admit')
    for (name in ['release', 'commit']) {
        words.addAll(parameters.option(name, parameters.text(name)))
    }
    words.addAll(parameters.option('allowed-signers', parameters.text('allowedSigners')))
    words.addAll(parameters.list('args'))
    runner.run(words, [], '')
}
