/** The delegate of a block that declares: a call is an entry, a name is a variable of the pipeline or a word of its own. */
class Declarations implements GroovyInterceptable {
    private final Build build
    private final Closure each

    Declarations(Build build, Closure each) {
        this.@build = build
        this.@each = each
    }

    Object invokeMethod(String name, Object arguments) {
        return this.@each.call(name, arguments as List)
    }

    Object getProperty(String name) {
        return name in ['any', 'none'] ? name : this.@build.global(name)
    }
}
