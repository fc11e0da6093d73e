/** The delegate of `environment`: every assignment is a variable. */
class Assignments {
    private final Build build
    private final Map found

    Assignments(Build build, Map found) {
        this.@build = build
        this.@found = found
    }

    Object getProperty(String name) {
        Map known = this.@build.environment() + this.@found
        return known.containsKey(name) ? known[name] : this.@build.global(name)
    }

    void setProperty(String name, Object value) {
        Steps.check(value instanceof CharSequence, "environment: $name is no text")
        this.@found[name] = value.toString()
    }
}
