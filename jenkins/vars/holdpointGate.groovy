import holdpoint.Parameters
import holdpoint.Runner

/** Takes a verified snapshot before the deploy; anything but a pass stops the pipeline. See holdpointGate.txt. */
void call(Map given) {
    Parameters parameters = new Parameters(given)
    Runner runner = new Runner(this, parameters)
    runner.check('holdpointGate', ['release', 'commit', 'paths', 'timeout'])
    String manifest = parameters.manifest()
    List words = parameters.commandLine('gate')
    for (name in ['release', 'commit', 'timeout']) {
        words.addAll(parameters.option(name, parameters.text(name)))
    }
    words.addAll(['--manifest-out=' + manifest, '--html-out=' + parameters.page()])
    words.addAll(parameters.list('args'))
    List paths = parameters.list('paths')
    if (!paths.isEmpty()) {
        words.add('--')
        words.addAll(paths)
    }
    runner.run(words, [manifest, manifest + '.sig', parameters.page()], parameters.text('timeout'))
    runner.stash()
}
