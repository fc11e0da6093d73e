package holdpoint

/**
 * What a pipeline gave to a step, checked: every name is known and every value is text or a list of texts.
 *
 * Values are never part of a shell line as they are: {@link #quote} makes one word of each. A value belongs to its option with `=`, and
 * paths stand behind `--`, so that none is taken for an option, whatever it begins with.
 */
class Parameters implements Serializable {
    private static final long serialVersionUID = 1L

    /** What every step takes. */
    static final List COMMON = [
        'environment', 'config', 'store', 'binary', 'args', 'manifest',
        'passwordCredentials', 'signingKeyCredentials', 'allowedSignersCredentials', 'awsCredentials', 'secrets',
    ]

    final Map given

    Parameters(Map given) {
        this.given = given
    }

    /** Returns what is wrong with the names or the values, or an empty text. */
    String mistake(String step, List more) {
        List known = COMMON + more
        for (name in given.keySet()) {
            if (!known.contains(name)) {
                return step + ': unknown parameter ' + name + '; it takes ' + known
            }
            String wrong = mistakeOf(name)
            if (wrong != '') {
                return step + ': ' + name + ' ' + wrong
            }
        }
        if (text('environment') == '') {
            return step + ': environment is missing: name the environment that is deployed to'
        }
        if (binary().startsWith('-')) {
            return step + ': binary must be a program, not ' + binary()
        }
        // It is also a pattern for the archive, in which other characters have a meaning.
        if (!manifest().matches('[A-Za-z0-9_][A-Za-z0-9_./-]*') || manifest().contains('..')) {
            return step + ': manifest must be a file below the workspace, of letters, digits and _ . / -, not ' + manifest()
        }
        return ''
    }

    /** Returns what is wrong with one value, or an empty text. */
    String mistakeOf(String name) {
        def value = given.get(name)
        if (value == null) {
            return ''
        }
        if (name == 'secrets') {
            return mistakeOfSecrets(value)
        }
        boolean many = name == 'paths' || name == 'args'
        if (value instanceof Map || (value instanceof List && !many)) {
            return 'must be a text'
        }
        for (one in list(name)) {
            if (one.indexOf('\u0000') >= 0) {
                return 'has a character in it that no program can be given'
            }
            // Also behind other flags, as in `-qh`: the exit code would be 0, and nothing decided.
            if (name == 'args' && one.matches('--help|--version|-[qv]*[hV].*')) {
                return 'asks for help or the version, which is no verdict: ' + one
            }
        }
        return ''
    }

    static String mistakeOfSecrets(Object value) {
        if (!(value instanceof Map)) {
            return 'must be a map of variables and ids of credentials'
        }
        for (variable in value.keySet()) {
            if (!variable.toString().matches('[A-Za-z_][A-Za-z0-9_]*')) {
                return 'has a variable that is none: ' + variable
            }
        }
        return ''
    }

    /** Returns a value as text; one that is missing is empty, and an empty one counts as missing. */
    String text(String name) {
        def value = given.get(name)
        return value == null ? '' : value.toString()
    }

    /** Returns a value as a list: a text has one in each of its lines. */
    List list(String name) {
        def value = given.get(name)
        List found = []
        if (value instanceof List) {
            for (one in value) {
                found.add(one.toString())
            }
        } else if (name == 'paths' || name == 'args') {
            for (line in text(name).split('\n')) {
                if (line.trim() != '') {
                    found.add(line.trim())
                }
            }
        } else {
            found.add(text(name))
        }
        return found
    }

    /** Returns the program to start. */
    String binary() {
        return text('binary') == '' ? 'holdpoint' : text('binary')
    }

    /** Returns the file of the manifest. */
    String manifest() {
        return text('manifest') == '' ? 'holdpoint-manifest.json' : text('manifest')
    }

    /** Returns the file of the manifest's page. */
    String page() {
        String manifest = manifest()
        return (manifest.endsWith('.json') ? manifest.substring(0, manifest.length() - 5) : manifest) + '.html'
    }

    /** Returns the name under which the manifest is kept for later stages, which may run on another agent. */
    String stashName() {
        return 'holdpoint-' + manifest().replaceAll('[^A-Za-z0-9_.-]', '-')
    }

    /** Returns `--option=value` as the only element, or nothing where there is no value. */
    List option(String option, String value) {
        return value == '' ? [] : ['--' + option + '=' + value]
    }

    /** Returns the program, its command and what every command takes. */
    List commandLine(String command) {
        List words = [binary(), command]
        for (name in ['environment', 'config', 'store']) {
            words.addAll(option(name, text(name)))
        }
        return words
    }

    /** Makes one word of a value, which a POSIX shell takes as it is. */
    static String quote(String value) {
        return "'" + value.replace("'", "'\\''") + "'"
    }

    /** Makes a shell line of words. */
    static String line(List words) {
        String line = ''
        for (word in words) {
            line = line + (line == '' ? '' : ' ') + quote(word)
        }
        return line
    }

    /**
     * Returns the seconds of a duration such as `15m` or `1h 30m`.
     *
     * @return 0 for what is not understood: the binary is the one that judges it
     */
    static int seconds(String duration) {
        Map units = [s: 1, m: 60, h: 3600, d: 86400]
        int total = 0
        String digits = ''
        for (int at = 0; at < duration.length(); at++) {
            String letter = duration.substring(at, at + 1)
            if (letter.matches('[0-9]') && digits.length() < 6) {
                digits = digits + letter
            } else if (digits != '' && units.containsKey(letter)) {
                total = total + Integer.parseInt(digits) * units.get(letter)
                digits = ''
            } else if (letter != ' ' || digits != '') {
                return 0
            }
        }
        return digits == '' ? total : 0
    }
}
