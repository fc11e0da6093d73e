/** The delegate of everything in a pipeline that runs: each call is a step, each name a global variable. */
class Dispatch implements GroovyInterceptable {
    private final Build build

    Dispatch(Build build) {
        this.@build = build
    }

    Object invokeMethod(String name, Object arguments) {
        return this.@build.call(name, arguments as List)
    }

    Object getProperty(String name) {
        return this.@build.global(name)
    }

    void setProperty(String name, Object value) {
        throw new IllegalArgumentException('a variable that is not declared: ' + name)
    }
}
