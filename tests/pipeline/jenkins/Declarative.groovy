/**
 * Plays a declarative pipeline: reads all of it and refuses what it does not know before anything runs, then runs its stages.
 *
 * As in Jenkins, options stand around a stage and its `post`, in the order in which they are written; the first error skips every later
 * stage; an unstable build skips them only with skipStagesAfterUnstable.
 */
class Declarative {
    static final List PIPELINE = ['agent', 'parameters', 'environment', 'options', 'stages', 'post']
    static final List STAGE = ['agent', 'environment', 'options', 'when', 'steps', 'stages', 'post']
    static final List CONDITIONS = ['always', 'aborted', 'failure', 'success', 'unstable', 'unsuccessful', 'cleanup']
    /** What an option may be beside a step with a body: with its parameters; those are accepted and change nothing that is looked at. */
    static final Map OPTIONS = [
        timestamps: 0, disableConcurrentBuilds: 0, preserveStashes: 1, skipStagesAfterUnstable: 0, skipDefaultCheckout: 0, buildDiscarder: 1,
    ]
    static final List STAGE_OPTIONS = ['timestamps', 'skipDefaultCheckout']
    static final List WRAPPERS = ['timeout', 'lock']

    final Build build
    boolean stopsWhenUnstable = false

    Declarative(Build build) {
        this.build = build
    }

    Object run(List given) {
        Steps.check(given.size() == 1 && given[0] instanceof Closure, 'pipeline takes a block')
        Map model = sections('pipeline', given[0], PIPELINE, ['agent', 'stages'])
        declareParameters(model.parameters)
        model.stages = stages(model.stages)
        List options = options(model.options, OPTIONS.keySet() as List)
        Throwable error = null
        build.environments.add(build.params.collectEntries { [it.key, it.value] })
        variables(model.environment) {
            wrapped(options) {
                error = sequence(model.stages, null)
                error = post(model.post, error)
            }
        }
        if (error != null) {
            throw error
        }
    }

    /** Reads a block of sections, each of which stands once. */
    private Map sections(String where, Closure block, List known, List required) {
        Map found = [:]
        collect(block) { String name, List given ->
            Steps.check(known.contains(name), "$where has no section $name")
            Steps.check(!found.containsKey(name), "$where has two sections $name")
            Steps.check(given.size() == 1, "$where: $name takes one block")
            found[name] = given[0]
        }
        required.each { Steps.check(found.containsKey(it), "$where needs the section $it") }
        String agent = found.agent
        Steps.check(found.agent == null || agent in ['any', 'none'], "an agent that is not played: $agent")
        if (found.post != null) {
            found.post = sections("$where: post", found.post, CONDITIONS, [])
            Steps.check(!found.post.isEmpty(), "$where: post is empty")
        }
        return found
    }

    private List stages(Closure block) {
        List found = []
        collect(block) { String name, List given ->
            Steps.check(name == 'stage' && given.size() == 2 && given[0] instanceof CharSequence, "stages holds $name$given")
            String stage = given[0]
            Map model = sections("stage $stage", given[1], STAGE, [])
            Steps.check(model.containsKey('steps') != model.containsKey('stages'), "stage $stage needs either steps or stages")
            model.name = stage
            model.options = options(model.options, STAGE_OPTIONS)
            if (model.stages != null) {
                model.stages = stages(model.stages)
            }
            found.add(model)
        }
        Steps.check(!found.isEmpty(), 'stages is empty')
        return found
    }

    /** Returns the wrapping options, in their order; their values are asked for when they are needed. */
    private List options(Closure block, List others) {
        List found = []
        if (block != null) {
            collect(block) { String name, List given ->
                if (WRAPPERS.contains(name)) {
                    found.add([name: name, given: given])
                } else {
                    Steps.check(others.contains(name), "options has no $name here")
                    Steps.check(given.size() <= OPTIONS[name], "the option $name is given too much")
                    stopsWhenUnstable = stopsWhenUnstable || name == 'skipStagesAfterUnstable'
                }
            }
        }
        return found
    }

    private void declareParameters(Closure block) {
        Map given = new LinkedHashMap(build.scenario.params)
        Map types = [
            string: [name: CharSequence, defaultValue: CharSequence, description: CharSequence, trim: Boolean],
            text: [name: CharSequence, defaultValue: CharSequence, description: CharSequence, trim: Boolean],
            booleanParam: [name: CharSequence, defaultValue: Boolean, description: CharSequence],
            choice: [name: CharSequence, choices: List, description: CharSequence],
        ]
        if (block != null) {
            collect(block) { String type, List arguments ->
                Steps.check(types.containsKey(type), "there are no parameters $type")
                Map definition = arguments[0]
                definition.each { name, value -> Steps.check(types[type][name]?.isInstance(value) ?: false, "$type has no $name like that") }
                Object initial = type == 'choice' ? definition.choices.first() : definition.defaultValue ?: (type == 'booleanParam' ? false : '')
                Object value = given.containsKey(definition.name) ? given.remove(definition.name) : initial
                Steps.check(type != 'choice' || definition.choices.contains(value), "$value is no choice of ${definition.name}")
                build.params[definition.name] = value
            }
        }
        Steps.check(given.isEmpty(), "parameters that are not declared: $given")
    }

    private Throwable sequence(List stages, Throwable error) {
        stages.each { stage ->
            boolean unstable = stopsWhenUnstable && build.currentBuild.result == 'UNSTABLE'
            if (error != null || unstable) {
                skip(stage)
            } else {
                error = play(stage)
            }
        }
        return error
    }

    private void skip(Map stage) {
        build.report.stages[stage.name] = 'skipped'
        stage.stages?.each { skip(it) }
    }

    private Throwable play(Map stage) {
        Throwable error = null
        boolean skipped = false
        try {
            if (asksFirst(stage.when) && !when(stage.when)) {
                skip(stage)
                return null
            }
            wrapped(stage.options) {
                if (!when(stage.when)) {
                    skipped = true
                    skip(stage)
                } else {
                    build.say("[Pipeline] stage ${stage.name}")
                    variables(stage.environment) {
                        error = stage.stages != null ? sequence(stage.stages, null) : attempt(stage.steps)
                        error = post(stage.post, error)
                    }
                }
            }
        } catch (Throwable thrown) {
            error = failed(error, thrown)
        }
        if (!skipped) {
            build.report.stages[stage.name] = error == null ? 'ran' : 'failed'
        }
        return error
    }

    private Throwable attempt(Closure steps) {
        try {
            execute(steps)
            return null
        } catch (Throwable thrown) {
            return failed(null, thrown)
        }
    }

    private Throwable failed(Throwable before, Throwable thrown) {
        build.currentBuild.result = thrown instanceof Interrupted ? 'ABORTED' : 'FAILURE'
        build.say("ERROR: ${thrown.message}")
        return before ?: thrown
    }

    private Throwable post(Map conditions, Throwable error) {
        String result = build.currentBuild.currentResult
        Map holds = [
            always: true, aborted: result == 'ABORTED', failure: result == 'FAILURE', success: result == 'SUCCESS' && error == null,
            unstable: result == 'UNSTABLE', unsuccessful: result != 'SUCCESS', cleanup: true,
        ]
        CONDITIONS.each { condition ->
            if (conditions?.containsKey(condition) && holds[condition]) {
                Throwable thrown = attempt(conditions[condition])
                error = error ?: thrown
            }
        }
        return error
    }

    private boolean when(Closure block) {
        if (block == null) {
            return true
        }
        List results = []
        collect(block) { String name, List given -> results.add(condition(name, given)) }
        return results.every { it }
    }

    /** Says whether `when` is asked before the options of the stage are taken, such as a lock. */
    private boolean asksFirst(Closure block) {
        boolean first = false
        if (block != null) {
            collect(block) { String name, List given -> first = first || (name == 'beforeOptions' && given[0]) }
        }
        return first
    }

    private boolean condition(String name, List given) {
        switch (name) {
            case ['beforeAgent', 'beforeOptions']: return true
            case 'expression': return execute(given[0])
            case 'equals': return given[0].expected == given[0].actual
            case 'environment': return build.environment()[given[0].name]?.toString() == given[0].value
            case ['not', 'allOf', 'anyOf']:
                List inner = []
                collect(given[0]) { String one, List more -> inner.add(condition(one, more)) }
                return name == 'not' ? !inner[0] : name == 'allOf' ? inner.every { it } : inner.any { it }
            default: throw new IllegalArgumentException("when has no condition $name")
        }
    }

    private void variables(Closure block, Closure body) {
        Map found = [:]
        if (block != null) {
            block.delegate = new Assignments(build, found)
            block.resolveStrategy = Closure.DELEGATE_ONLY
            block.call()
        }
        build.environments.add(found)
        try {
            body.call()
        } finally {
            build.environments.remove(build.environments.size() - 1)
        }
    }

    private void wrapped(List options, Closure body) {
        if (options.isEmpty()) {
            body.call()
            return
        }
        Map option = options.first()
        build.call(option.name, option.given + [{ wrapped(options.tail(), body) }])
    }

    private Object execute(Closure steps) {
        steps.delegate = new Dispatch(build)
        steps.resolveStrategy = Closure.DELEGATE_ONLY
        return steps.call()
    }

    /** Runs a block of declarations, each of which is told to `each`. */
    private void collect(Closure block, Closure each) {
        block.delegate = new Declarations(build, each)
        block.resolveStrategy = Closure.DELEGATE_ONLY
        block.call()
    }
}
