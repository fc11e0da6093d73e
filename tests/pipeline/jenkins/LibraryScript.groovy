/** The base of the Jenkinsfile and of each variable of the library: what they do not define themselves is a step. */
abstract class LibraryScript extends Script {
    Object methodMissing(String name, Object arguments) {
        return binding.getVariable('build').call(name, arguments as List)
    }

    Object propertyMissing(String name) {
        return binding.getVariable('build').global(name)
    }
}
