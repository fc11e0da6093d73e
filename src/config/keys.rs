//! Every key of the configuration, as data: what the parser accepts and what the JSON Schema says.

use super::audit::AUDIT;
use super::overrides::OVERRIDE;
use super::policy::POLICY;
use super::requirements::REQUIREMENTS;
use super::retention::RETENTION;
use super::stores::STORE;
use super::webhooks::WEBHOOK;
use super::windows::{BLACKOUT, WINDOW};

/// One table of the file.
pub(super) struct Section {
    /// How messages name it.
    pub(super) name: &'static str,
    /// The keys it may have.
    pub(super) keys: &'static [&'static [Key]],
    /// Keys of the design that this version does not know yet: named, so that nobody relies on them.
    pub(super) later: &'static [&'static str],
}

impl Section {
    /// Returns all keys of the table.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().copied().flatten()
    }
}

/// One key of a table.
pub(super) struct Key {
    /// The key.
    pub(super) name: &'static str,
    /// Whether it must be there.
    pub(super) required: bool,
    /// The form of its value.
    pub(super) form: Form,
    /// What it means, for the schema.
    pub(super) doc: &'static str,
}

/// The form of a value.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// A string that stands in the file itself.
    Name,
    /// A string that stands in the file itself and may be empty.
    Argument,
    /// A string, or where it is kept.
    Text,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number of at least this much.
    Integer(u32),
    /// Such as `"15m"`.
    Duration,
    /// Such as `"1MiB"`.
    Bytes,
    /// Such as `"30%"`.
    Percent,
    /// The one form or the other.
    Either(&'static Form, &'static Form),
    /// A list of the form, with at least this many items.
    List(&'static Form, u64),
    /// A table from any name to the form.
    Map(&'static Form),
    /// A table.
    Table(&'static Section),
    /// A table whose `kind` decides which keys it has.
    Kinds(&'static [Kind]),
}

/// One kind of source or probe.
pub(super) struct Kind {
    /// The value of `kind`.
    pub(super) name: &'static str,
    /// The keys that come with it.
    pub(super) section: Section,
}

pub(super) const fn key(name: &'static str, form: Form, doc: &'static str) -> Key {
    Key { name, required: false, form, doc }
}

pub(super) const fn required(name: &'static str, form: Form, doc: &'static str) -> Key {
    Key { name, required: true, form, doc }
}

const TEXTS: Form = Form::Map(&Form::Text);
const ARGUMENTS: Form = Form::List(&Form::Argument, 1);

/// The whole file.
pub(super) const ROOT: Section = Section {
    name: "the file",
    keys: &[&[
        key("application", Form::Text, "the application; the working tree's name unless given"),
        key("versioning", Form::Choice(&["semver", "opaque"]), "how versions are read and compared"),
        key("store", Form::Table(&STORE), "where snapshots and release records live"),
        key("gate", Form::Table(&GATE), "how a run of the gate behaves"),
        key("source", Form::List(&Form::Kinds(SOURCES), 0), "one thing that must be restorable"),
        key("environment", Form::Map(&Form::Table(&ENVIRONMENT)), "one place where the application is deployed"),
        key("drill", Form::Table(&DRILL), "how restores are practised"),
        key("discovery", Form::Table(&DISCOVERY), "what databases without a source mean"),
        key("retention", Form::Table(&RETENTION), "which releases keep their snapshots"),
        key("signing", Form::Table(&SIGNING), "who vouches for manifests"),
        key("webhook", Form::List(&Form::Table(&WEBHOOK), 0), "who is told what happens"),
        key("override", Form::List(&Form::Table(&OVERRIDE), 0), "who may set aside which refusals"),
        key("policy", Form::Table(&POLICY), "how much is captured, what may stand in and what is required"),
        key("audit", Form::Table(&AUDIT), "where the lines of the audit go besides the store"),
    ]],
    later: &[],
};

pub(super) const DISCOVERY: Section = Section {
    name: "[discovery]",
    keys: &[&[key("ignore", Form::List(&Form::Text, 0), "variables, services and folders that need no source")]],
    later: &[],
};

pub(super) const GATE: Section = Section {
    name: "[gate]",
    keys: &[&[
        key("timeout", Form::Duration, "the deadline of a whole run"),
        key("verify", Form::Choice(&["new", "all", "none"]), "what is read back before a snapshot counts"),
        key("retry", Form::Table(&RETRY), "how often a transient failure is tried again"),
        key(
            "pass_valid_for",
            Form::Duration,
            "how old a pass may be when the deploy step asks for it; 1h unless given",
        ),
        key("claim_for", Form::Duration, "how long a deploy may take before another one is admitted; 2h unless given"),
    ]],
    later: &[],
};

pub(super) const DRILL: Section = Section {
    name: "[drill]",
    keys: &[&[
        key("timeout", Form::Duration, "the deadline of a whole drill; 1h unless given"),
        key("check", Form::List(&Form::Table(&CHECK), 0), "a question to the restored data, and the right answer"),
    ]],
    later: &[],
};

pub(super) const CHECK: Section = Section {
    name: "a check",
    keys: &[&[
        required("name", Form::Name, "unique in the file"),
        key("source", Form::Name, "the source that it looks at"),
        key("sql", Form::Text, "a query, asked of the restored source"),
        key("command", ARGUMENTS, "program and arguments that print the answer"),
        key("expect", Form::Text, "the right answer"),
        key("matches", Form::Text, "a regular expression that is found in the right answer"),
        key("min", Form::Integer(0), "the least number that is right"),
        key("max", Form::Integer(0), "the largest number that is right"),
        key("timeout", Form::Duration, "how long it may take; 1m unless given"),
        key("environments", Form::List(&Form::Text, 1), "the environments whose drills ask; all of them unless given"),
    ]],
    later: &[],
};

pub(super) const SIGNING: Section = Section {
    name: "[signing]",
    keys: &[&[
        key("key_file", Form::Text, "the OpenSSH ed25519 key that signs: its file, or its text kept elsewhere"),
        key("allowed_signers", Form::Text, "the file of the keys that may have signed"),
    ]],
    later: &[],
};

pub(super) const RETRY: Section = Section {
    name: "retry",
    keys: &[&[
        key("attempts", Form::Integer(1), "tries in all"),
        key("backoff", Form::Duration, "the pause before the second try, doubled before each later one"),
    ]],
    later: &[],
};

pub(super) const EXPECT: Section = Section {
    name: "expect",
    keys: &[&[
        key("min_bytes", Form::Bytes, "the least size"),
        key("max_shrink", Form::Percent, "how much smaller than the last comparable snapshot it may be"),
        key("min_tables", Form::Integer(0), "the least number of tables of a database; 1 unless given"),
        key("min_rows", Form::Map(&Form::Integer(0)), "the least number of rows of tables"),
        key("identity", Form::Text, "what the server must say of itself; see `identity` in a manifest"),
    ]],
    later: &[],
};

pub(super) const BASE_BACKUP: Section = Section {
    name: "base_backup",
    keys: &[&[
        key("source", Form::Name, "the source whose snapshots are base backups"),
        key("pgbackrest", Form::Name, "a pgBackRest stanza"),
        key("barman", Form::Name, "a Barman server"),
    ]],
    later: &[],
};

/// What every server with client programs has.
const SERVER: &[Key] = &[
    required("url", Form::Text, "the server, with user, password and database"),
    key("programs", Form::Text, "the directory of the client programs; PATH is searched without it"),
    CONNECT_TIMEOUT,
    DRILL_SERVER,
];

const DRILL_SERVER: Key = key(
    "drill_server",
    Form::Text,
    "the server on which a drill may make a database; it starts one of its own unless given",
);

const CONNECT_TIMEOUT: Key =
    key("connect_timeout", Form::Duration, "how long the server may take to answer before a capture; 10s unless given");

const SCHEMA_VERSION_QUERY: Key =
    key("schema_version_query", Form::Text, "a query whose first value is the version of the schema");

/// What every source has.
const SOURCE: &[Key] = &[
    required("name", Form::Name, "unique in the file"),
    required("kind", Form::Name, "what it is"),
    key("required", Form::Boolean, "whether its failure refuses"),
    key("capture", Form::Choice(&["always", "gate", "snapshot"]), "in which runs it is captured"),
    key("owner", Form::Text, "who answers for it"),
    key("restore_order", Form::Integer(0), "its place in the order of a restore"),
    key("expect", Form::Table(&EXPECT), "what its snapshot must look like"),
    key("when_changed", Form::List(&Form::Text, 1), "the paths whose change makes scope = \"changed\" capture it"),
];

pub(super) const SOURCES: &[Kind] = &[
    Kind {
        name: "files",
        section: Section {
            name: "a source of kind \"files\"",
            keys: &[
                SOURCE,
                &[
                    required("paths", Form::List(&Form::Text, 1), "files and directories"),
                    key("exclude", Form::List(&Form::Text, 0), "what to leave out, as lines of a .gitignore"),
                    key("exclude_caches", Form::Boolean, "leave out directories with a CACHEDIR.TAG"),
                    key("exclude_larger_than", Form::Bytes, "leave out larger files"),
                    key("git_ignore", Form::Boolean, "leave out what .gitignore files leave out"),
                ],
            ],
            later: &[],
        },
    },
    Kind {
        name: "command",
        section: Section {
            name: "a source of kind \"command\"",
            keys: &[
                SOURCE,
                &[
                    required("command", ARGUMENTS, "program and arguments; its standard output is the snapshot"),
                    key("restore", ARGUMENTS, "program and arguments that take the snapshot on standard input"),
                    key("env", TEXTS, "variables that the programs get"),
                    key("directory", Form::Text, "the working directory"),
                ],
            ],
            later: &[],
        },
    },
    Kind {
        name: "sqlite",
        section: Section {
            name: "a source of kind \"sqlite\"",
            keys: &[
                SOURCE,
                &[required("path", Form::Text, "the database file, or a glob of several"), SCHEMA_VERSION_QUERY],
            ],
            later: &[],
        },
    },
    Kind {
        name: "postgres",
        section: Section {
            name: "a source of kind \"postgres\"",
            keys: &[
                SOURCE,
                SERVER,
                &[
                    SCHEMA_VERSION_QUERY,
                    key("method", Form::Choice(&["dump", "base-backup", "restore-point"]), "how it is captured"),
                    key("jobs", Form::Integer(1), "how many tables are dumped at once; needs scratch space"),
                    key("globals", Form::Boolean, "whether roles and other objects of the cluster are dumped, too"),
                    key("restore_command", ARGUMENTS, "brings the segment %f of the log from the archive to %p"),
                    key("base_backup", Form::Table(&BASE_BACKUP), "the base backup that a restore point counts from"),
                    key("base_backup_within", Form::Duration, "how old that may be; 25h unless given"),
                ],
            ],
            later: &[],
        },
    },
    Kind { name: "mysql", section: MYSQL },
    Kind { name: "mariadb", section: MYSQL },
    Kind {
        name: "redis",
        section: Section {
            name: "a source of kind \"redis\"",
            keys: &[
                SOURCE,
                &[
                    required("url", Form::Text, "the server, with user and password"),
                    CONNECT_TIMEOUT,
                    DRILL_SERVER,
                    key("ca_file", Form::Text, "the certificates that the server's may be signed by"),
                ],
            ],
            later: &[],
        },
    },
    Kind {
        name: "mongodb",
        section: Section {
            name: "a source of kind \"mongodb\"",
            keys: &[
                SOURCE,
                SERVER,
                &[key("oplog", Form::Boolean, "whether writes during the dump are captured, too; replica sets only")],
            ],
            later: &[],
        },
    },
];

const MYSQL: Section = Section {
    name: "a source of kind \"mysql\" or \"mariadb\"",
    keys: &[SOURCE, SERVER, &[SCHEMA_VERSION_QUERY]],
    later: &[],
};

/// Kinds of sources that this version does not know yet.
pub(super) const LATER_SOURCES: &[&str] = &["etcd", "kubernetes", "velero", "s3", "volume"];

pub(super) const ENVIRONMENT: Section = Section {
    name: "an environment",
    keys: &[&[
        key("tier", Form::Text, "such as critical"),
        key("rpo", Form::Duration, "how old the data may be after a restore"),
        key("rto", Form::Duration, "how long a restore may take"),
        key("deployed", Form::Kinds(PROBES), "how the deployed version is observed"),
        key("rollback", Form::Table(&ROLLBACK), "what a rollback runs"),
        key("retired", Form::Boolean, "whether nothing is deployed there any more"),
        key("archive", Form::Name, "the copy that holds what a retired environment had"),
        key("time_zone", Form::Text, "the clock of its windows, such as \"Europe/Berlin\"; UTC unless given"),
        key("window", Form::List(&Form::Table(&WINDOW), 1), "when may be deployed; always unless given"),
        key("blackout", Form::List(&Form::Table(&BLACKOUT), 1), "when may not be deployed"),
        key("deploy_takes", Form::Duration, "how long a deploy takes, which a window must hold, too"),
        key("require", Form::List(&Form::Choice(REQUIREMENTS), 0), "what every release must have"),
        key("drill_within", Form::Duration, "how old the last drill that passed may be"),
        key("approvers", Form::Text, "the file of the keys that may approve, in the format of allowed signers"),
        key("approvals", Form::Integer(1), "how many persons must approve; 1 unless given"),
        key("ticket_pattern", Form::Text, "a regular expression that the whole name of a ticket must match"),
    ]],
    later: &[],
};

/// The ways back, as [`crate::model::way::WayKind`] names them.
pub(super) const WAYS: &[&str] = &["code-only", "down-migration", "full-restore", "point-in-time", "roll-forward"];

pub(super) const ROLLBACK: Section = Section {
    name: "rollback",
    keys: &[&[
        key("before", Form::List(&ARGUMENTS, 0), "programs that stop the application"),
        key("redeploy", ARGUMENTS, "the program that deploys the older version"),
        key("after", Form::List(&ARGUMENTS, 0), "programs that start the application"),
        key("down_migration", ARGUMENTS, "the program that takes the schema back to the older version's"),
        key("prefer", Form::List(&Form::Choice(WAYS), 1), "the ways back, the preferred one first"),
        key("max_loss", Form::Duration, "how much may be lost by the way that is recommended; rpo unless given"),
        key("max_duration", Form::Duration, "how long the way that is recommended may take; rto unless given"),
        key(
            "accepts_schema",
            Form::Map(&Form::List(&Form::Name, 1)),
            "versions of the schema on which the older version runs besides the snapshot's, by source",
        ),
    ]],
    later: &[],
};

/// What every probe has.
const PROBE: &[Key] = &[
    required("kind", Form::Name, "what is asked"),
    key("version", Form::Text, "a JSON pointer to the version"),
    key("regex", Form::Text, "a regular expression; its first group, or its match, is the version"),
    key("commit", Form::Text, "a JSON pointer to the commit"),
    key("commit_regex", Form::Text, "a regular expression; its first group, or its match, is the commit"),
    key("timeout", Form::Duration, "how long one instance may take to answer; 10s unless given"),
];

pub(super) const PROBES: &[Kind] = &[
    Kind {
        name: "http",
        section: Section {
            name: "a probe of kind \"http\"",
            keys: &[
                PROBE,
                &[
                    required("urls", Form::List(&Form::Text, 1), "one URL for each instance"),
                    key("headers", TEXTS, "headers to send"),
                    key("header", Form::Name, "the response header that holds the version"),
                    key("commit_header", Form::Name, "the response header that holds the commit"),
                ],
            ],
            later: &[],
        },
    },
    Kind {
        name: "command",
        section: Section {
            name: "a probe of kind \"command\"",
            keys: &[
                PROBE,
                &[
                    required("command", ARGUMENTS, "program and arguments that print the answer"),
                    key("env", TEXTS, "variables that the program gets"),
                ],
            ],
            later: &[],
        },
    },
    Kind {
        name: "file",
        section: Section {
            name: "a probe of kind \"file\"",
            keys: &[PROBE, &[required("path", Form::Text, "the file that holds the answer")]],
            later: &[],
        },
    },
];

/// Kinds of probes that this version does not know yet.
pub(super) const LATER_PROBES: &[&str] = &["kubernetes"];
