//! What each mistake in a configuration gets.

use super::*;

#[test]
fn five_mistakes_are_shown_at_once() {
    let text = "aplication = \"shop\"\n\n[gate]\ntimeout = \"soon\"\n\n[[source]]\nname = \"a\"\nkind = \"files\"\n\
                paths = []\n\n[[source]]\nname = \"a\"\nkind = \"etcd\"\n\n[environment.production]\nrpo = 5\n";
    let error = read(text).unwrap_err();
    assert_eq!(
        error.message(),
        "conf/holdpoint.toml has 5 mistakes\n\
         conf/holdpoint.toml:1:1: unknown key `aplication` in the file; did you mean `application`?\n\
         conf/holdpoint.toml:4:11: `timeout` must be a duration such as \"15m\" or \"1h 30m\", not \"soon\"\n\
         conf/holdpoint.toml:9:9: `paths` is empty\n\
         conf/holdpoint.toml:13:8: kind \"etcd\" is not supported by this version\n\
         conf/holdpoint.toml:16:7: `rpo` must be a duration such as \"15m\", not an integer"
    );
}

#[test]
fn each_mistake_has_its_words() {
    let files = "[[source]]\nname = \"a\"\nkind = \"files\"\npaths = [\"p\"]\n";
    let postgres = "[[source]]\nname = \"a\"\nkind = \"postgres\"\nurl = \"postgres://h/d\"\n";
    let http = "[environment.e.deployed]\nkind = \"http\"\nurls = [\"https://h/\"]\n";
    let of_files = |line: &str| format!("{files}{line}");
    let of_rollback = |line: &str| format!("[environment.e.rollback]\n{line}");
    let of_http = |line: &str| format!("{http}version = \"/v\"\n{line}");
    let cases = [
        (
            "application = 3".to_owned(),
            "1:15: `application` must be a string, { env = \"NAME\" } or { file = \"PATH\" }, not an integer",
        ),
        ("application = \" \"".to_owned(), "1:15: `application` is empty"),
        ("application = \"a\\u0000\"".to_owned(), "1:15: `application` has control characters"),
        (
            "application = { env = \"NOT_THERE\" }".to_owned(),
            "1:15: `application` cannot be read: the environment variable NOT_THERE is not set",
        ),
        (
            "application = { evn = \"X\" }".to_owned(),
            "1:15: `application` must be a string, { env = \"NAME\" } or { file = \"PATH\" }",
        ),
        ("versioning = \"calver\"".to_owned(), "1:14: `versioning` must be \"semver\" or \"opaque\", not \"calver\""),
        ("store = \"x\"".to_owned(), "1:9: `store` must be a table, not a string"),
        (
            "[environment.x]\nwindows = []".to_owned(),
            "2:1: unknown key `windows` in an environment; did you mean `window`?",
        ),
        ("[store]\nkms_key = \"x\"".to_owned(), "2:11: `kms_key` belongs to sse = \"aws:kms\""),
        (
            "[store]\nobject_lock = { mode = \"governance\", retain = \"1s\" }".to_owned(),
            "2:47: `retain` must be at least a minute",
        ),
        (
            "[store]\nstorage_class = \"GLACIER\"".to_owned(),
            "2:17: GLACIER cannot be read back at once, which every pass rests on: use STANDARD_IA or GLACIER_IR, or set \
             verify = \"none\" in [gate]",
        ),
        ("[store.copies.far]\nregion = \"x\"".to_owned(), "1:1: `location` is missing from [store.copies.NAME]"),
        ("[gate]\ntimeout = \"0s\"".to_owned(), "2:11: `timeout` must be longer than zero"),
        ("[gate]\ntimeout = \"99999999999 years\"".to_owned(), "2:11: `timeout` is longer than ten years"),
        ("[gate]\ntimeout = \"11 years\"".to_owned(), "2:11: `timeout` is longer than ten years"),
        ("[gate]\nretry = { attempts = 0 }".to_owned(), "2:22: `attempts` must be from 1 to 100, not 0"),
        ("[gate]\npass_valid_for = \"0s\"".to_owned(), "2:18: `pass_valid_for` must be longer than zero"),
        ("source = 1".to_owned(), "1:10: `source` must be a list, not an integer"),
        ("[source]\nname = \"a\"".to_owned(), "1:1: `source` must be a list, not a table"),
        (
            "[[source]]\nkind = \"sqlite\"\npath = \"p\"".to_owned(),
            "1:1: `name` is missing from a source of kind \"sqlite\"",
        ),
        (
            "[[source]]\nname = \"a\"".to_owned(),
            "1:1: `kind` is missing: one of \"files\", \"command\", \"sqlite\", \"postgres\", \"mysql\", \"mariadb\", \"redis\", \"mongodb\"",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"file\"".to_owned(),
            "3:8: unknown kind \"file\": this version has \"files\", \"command\", \"sqlite\", \"postgres\", \"mysql\", \"mariadb\", \"redis\", \"mongodb\"; did you mean `files`?",
        ),
        ("[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = []".to_owned(), "4:11: `command` is empty"),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"\"]".to_owned(),
            "4:12: `command` has an empty program",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = \"ls -l\"".to_owned(),
            "4:11: `command` must be a list of program and arguments, as in [\"pg_dump\", \"shop\"] (there is no shell), not a string",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"a\", { env = \"X\" }]".to_owned(),
            "4:17: `command` must be a list of strings (secrets go to `env`: arguments can be seen by other users), not a table",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"a\"]\nenv = { \"A=B\" = \"c\" }".to_owned(),
            "5:17: \"A=B\" is not the name of an environment variable",
        ),
        (
            of_files("exclude = [\"[z-a]\"]"),
            "5:12: \"[z-a]\" is not a glob: error parsing glob '[z-a]': invalid range; 'z' > 'a'",
        ),
        (
            of_files("exclude = [\"#a\"]"),
            "5:12: \"#a\" would be a comment: write `\\\\#` for a name that begins with #",
        ),
        (of_files("required = \"yes\""), "5:12: `required` must be true or false, not a string"),
        (of_files("restore_order = -1"), "5:17: `restore_order` must be from 0 to 4294967295, not -1"),
        (
            of_files("exclude_larger_than = \"big\""),
            "5:23: `exclude_larger_than` must be a size such as \"500kB\" or \"1MiB\", not \"big\"",
        ),
        (
            of_files("expect = { min_bytes = -1 }"),
            "5:24: `min_bytes` must be a size such as \"500kB\" or \"1MiB\", not \"-1\"",
        ),
        (
            of_files("expect = { max_shrink = \"130%\" }"),
            "5:25: `max_shrink` must be a percentage from \"0%\" to \"100%\", not \"130%\"",
        ),
        (
            of_files("expect = { max_shrink = 0.3 }"),
            "5:25: `max_shrink` must be a percentage such as \"30%\", not a float",
        ),
        (
            of_files("capture = \"never\""),
            "5:11: `capture` must be \"always\" or \"gate\" or \"snapshot\", not \"never\"",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nrestore_command = [\"cp\", \"%f\", \"%p\"]\n\
                 base_backup = {{ source = \"base\" }}"
            ),
            "1:1: `base_backup` of \"a\": there is no source \"base\"",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nrestore_command = [\"cp\", \"%f\", \"%p\"]\n\
                 base_backup = {{ source = \"a\" }}"
            ),
            "1:1: `base_backup` of \"a\": the source \"a\" is not of method = \"base-backup\"",
        ),
        (
            format!("{postgres}restore_command = [\"cp\", \"%f\", \"%p\"]"),
            "5:19: `restore_command` belongs to method = \"restore-point\", not to \"dump\"",
        ),
        (
            format!("{postgres}method = \"restore-point\"\nbase_backup = {{ barman = \"b\" }}"),
            "1:1: `restore_command` is missing: method = \"restore-point\" needs it",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nrestore_command = [\"cp\", \"%f\", \"%p\"]\nbase_backup = {{}}"
            ),
            "7:15: `base_backup` must have one of `source`, `pgbackrest` and `barman`",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nbase_backup = {{ barman = \"b\" }}\nrestore_command = [\"cp\", \"%f\"]"
            ),
            "7:19: `restore_command` must hold %f, the name of a segment, and %p, where it goes",
        ),
        (of_files("expect = { min_rows = { orders = -1 } }"), "5:34: `orders` must be from 0 to 4294967295, not -1"),
        (of_files("when_changed = []"), "5:16: `when_changed` is empty"),
        (of_files("when_changed = [\"!x\"]"), "5:16: `when_changed` holds exceptions only, and matches no path"),
        (
            of_files("[policy.patch]\nscope = [\"a\", \"b\"]"),
            "6:15: `scope` names the source \"b\", which does not exist",
        ),
        ("[policy.patch]\nscope = \"some\"".to_owned(), "2:9: `scope` must be \"full\" or \"changed\", not \"some\""),
        (
            "[policy.patch]\nscope = 1".to_owned(),
            "2:9: `scope` must be \"full\", \"changed\" or a list of sources, not an integer",
        ),
        ("[policy.patch]\nscope = []".to_owned(), "2:9: `scope` is empty"),
        ("[policy.patch]\nreuse_within = \"0s\"".to_owned(), "2:16: `reuse_within` must be longer than zero"),
        ("[policy.path]".to_owned(), "1:9: unknown key `path` in [policy]; did you mean `patch`?"),
        (
            "[environment.e]\ntier = \"critical\"\n[policy.patch.tier.critcal]".to_owned(),
            "3:1: no environment has the tier \"critcal\"",
        ),
        (
            "[[policy.raise]]\nname = \"a\"\npaths = [\"x\"]\nto = \"patch\"".to_owned(),
            "4:6: `to` must be \"minor\" or \"major\", not \"patch\"",
        ),
        (
            "[[policy.raise]]\nname = \"a\"\npaths = [\"x\"]\nto = \"minor\"\n".repeat(2),
            "5:1: two rules are named \"a\"",
        ),
        (of_files("path = \"x\""), "5:1: unknown key `path` in a source of kind \"files\"; did you mean `paths`?"),
        (files.replace("\"p\"", "\"\""), "4:10: `paths` is empty"),
        (
            files.replace("\"p\"", "\"/x/..\""),
            "4:10: `paths` holds `/`, the whole machine: name the directories that the application owns",
        ),
        (of_files(files), "6:8: two sources are named \"a\""),
        (
            "[environment]\n\"\" = {}".to_owned(),
            "2:1: \"\" in `environment` is not a name: it is empty or has control characters",
        ),
        (
            http.to_owned(),
            "1:1: where is the version in the answer? give `version` (a JSON pointer), `header` or `regex`",
        ),
        (of_http("regex = \"x\""), "5:9: `version` and `regex` exclude each other: give one"),
        (of_http("commit_regex = \"(\""), "5:16: `commit_regex` is not a regular expression: unclosed group"),
        (of_http("commit = \"commit\""), "5:10: `commit` must be a JSON pointer such as \"/version\", not \"commit\""),
        (of_http("commit_header = \"a b\""), "5:17: \"a b\" is not the name of an HTTP header"),
        (of_http("headers = { \"a b\" = \"c\" }"), "5:21: \"a b\" is not an HTTP header, or its value is none"),
        (
            http.replace("https://h/", "ftp://u:p@h/") + "header = \"V\"",
            "3:9: `urls` must hold URLs such as \"https://shop.example/version\"",
        ),
        (
            "[[webhook]]\nname = \"w\"\nurl = \"ftp://u:p@h/\"".to_owned(),
            "3:7: `url` must hold an address such as \"https://chat.example/hooks/1\"",
        ),
        ("[[webhook]]\nname = \"w\"\nurl = \"https://h/\"\nevents = []".to_owned(), "4:10: `events` is empty"),
        (
            "[[webhook]]\nname = \"w\"\nurl = \"https://h/\"\n[[webhook]]\nname = \"w\"\nurl = \"https://h/\""
                .to_owned(),
            "4:1: two webhooks are named \"w\"",
        ),
        (
            "[environment.e.deployed]\nkind = \"file\"\npath = \"v\"\nheader = \"X\"".to_owned(),
            "4:1: unknown key `header` in a probe of kind \"file\"",
        ),
        (
            "[environment.e.deployed]\nkind = \"kubernetes\"".to_owned(),
            "2:8: kind \"kubernetes\" is not supported by this version",
        ),
        (
            "[environment.e.rollback]\nbefore = [\"stop\"]".to_owned(),
            "2:11: `before` must be a list of program and arguments, as in [\"pg_dump\", \"shop\"] (there is no shell), not a string",
        ),
        (
            of_rollback("prefer = [\"code-only\", \"restore\"]"),
            "2:24: `prefer` must be \"code-only\" or \"down-migration\" or \"point-in-time\" or \"full-restore\" or \"roll-forward\", not \"restore\"",
        ),
        (of_rollback("prefer = []"), "2:10: `prefer` is empty"),
        (of_rollback("prefer = [\"code-only\", \"code-only\"]"), "2:24: `prefer` names code-only twice"),
        (
            of_rollback("prefer = [\"down-migration\"]"),
            "2:11: `prefer` names down-migration, and `down_migration` is missing: give its program",
        ),
        (of_rollback("max_duration = \"0s\""), "2:16: `max_duration` must be longer than zero"),
        (
            of_rollback("accepts_schema = { orders = [\"1\"] }"),
            "2:29: `accepts_schema` names the source \"orders\", which does not exist",
        ),
        (of_rollback("accepts_schema = { orders = [] }"), "2:29: `orders` is empty"),
        ("a = ".to_owned(), "1:5: string values must be quoted, expected literal string"),
        ("application = \"a\"\napplication = \"b\"".to_owned(), "2:1: duplicate key"),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(&text), [expected], "{text}");
    }
}

#[test]
fn broken_syntax_is_shown_alone_and_a_double_key_is_not() {
    assert_eq!(mistakes("unknown = 1\nbroken").len(), 1);
    assert_eq!(mistakes("unknown = 1\nunknown = 2").len(), 2);
}
