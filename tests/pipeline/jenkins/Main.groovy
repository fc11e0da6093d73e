import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.customizers.ImportCustomizer

/**
 * Runs Jenkinsfiles with a shared library, without Jenkins: `groovy -cp DIRECTORY Main.groovy SCENARIOS`.
 *
 * SCENARIOS is a JSON document with the directory of the `library` and `scenarios`, each with a `jenkinsfile`, its `workspace`, `kept`
 * for what is archived, `environment`, `params`, `credentials`, and `interrupt`; what happened is one JSON document on standard output.
 */
class Main {
    static void main(String[] arguments) {
        Map document = new JsonSlurper().parse(new File(arguments[0]))
        File library = new File(document.library)
        List threads = []
        List reports = new ArrayList(Collections.nCopies(document.scenarios.size(), null))
        document.scenarios.eachWithIndex { scenario, index ->
            threads.add(Thread.start { reports[index] = play(library, scenario) })
        }
        threads*.join()
        println JsonOutput.toJson(reports)
    }

    private static Map play(File library, Map scenario) {
        Build build = new Build(scenario)
        try {
            GroovyShell shell = shell(library, build)
            new File(library, 'vars').listFiles().findAll { it.name.endsWith('.groovy') }.each {
                Script script = shell.parse(it)
                build.vars[it.name - '.groovy'] = script
            }
            shell.parse(scenario.jenkinsfile, 'Jenkinsfile').run()
        } catch (Throwable error) {
            build.currentBuild.result = error instanceof Interrupted ? 'ABORTED' : 'FAILURE'
            build.report.error = error.message
        }
        build.report.remove('interrupted')
        return build.report + [
            result: build.currentBuild.currentResult, description: build.currentBuild.description, log: build.log.toString(),
        ]
    }

    private static GroovyShell shell(File library, Build build) {
        CompilerConfiguration configuration = new CompilerConfiguration()
        configuration.scriptBaseClass = LibraryScript.name
        configuration.addCompilationCustomizers(new ImportCustomizer().addImports('Library'), new Sandbox(own(library)))
        // It would fetch what a script names before anything looks at the script.
        configuration.disabledGlobalASTTransformations = ['groovy.grape.GrabAnnotationTransformation'] as Set
        configuration.classpath = new File(library, 'src').path
        Binding binding = new Binding(build: build)
        // Jenkins' own: the variable that carries the annotation of the library.
        binding.setVariable('_', null)
        return new GroovyShell(Main.classLoader, binding, configuration)
    }

    /** Returns the names that the library itself defines. */
    private static Set own(File library) {
        Set names = []
        library.eachFileRecurse { file ->
            if (file.name.endsWith('.groovy')) {
                names.add(file.name - '.groovy')
                (file.text =~ /(?m)^\s+(?:static )?[A-Za-z]+ ([a-z][A-Za-z]*)\(.*\) \{$/).each { names.add(it[1]) }
            }
        }
        return names
    }
}
