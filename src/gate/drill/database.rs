//! Is the place of a restored database apart from the origin? By where its server is, and by what it calls itself.

use crate::config::Text;
use crate::model::manifest::SourceRecord;
use crate::source::Target;
use crate::source::isolation::Isolated;
use crate::source::throwaway::own_prefix;
use percent_encoding::percent_decode_str;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use url::Url;

/// How the databases begin that a drill makes on a server that it was given; 16 hexadecimal digits follow.
const DATABASE: &str = "holdpoint_drill_";
/// The parameters of a URL that name a server in place of its host.
const SERVERS: [&str; 4] = ["host", "hostaddr", "socket", "unix_socket"];
/// The kinds of identities that begin with a number which no two servers share.
const NUMBERED: [&str; 3] = ["postgres", "mysql", "galera"];

/// What a look at the place of a database came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It may be, or lead to, where the source came from: why.
    Doubt(String),
    /// It is apart: by what that is known, in words that follow what is known of the directory; may be empty.
    Apart(String),
    /// Nothing speaks against it, but whether its server is that of the origin nobody can tell: why.
    Unknown(String),
}

/// Looks at a place. `scratch` is the private directory of the drill; `is_restored`: the data is there by now, and with a
/// whole cluster came its identity. Directories are looked at by whoever calls: they are apart as all others are.
pub(super) fn look(
    isolated: &dyn Isolated,
    record: &SourceRecord,
    own_url: Option<&Text>,
    scratch: &Path,
    is_restored: bool,
) -> Met {
    let url = match isolated.target() {
        Target::Origin => return Met::Doubt("it is where the source came from".to_owned()),
        Target::Directory(path) if !is_made_here(&path, scratch) => {
            return Met::Doubt(format!("{} is not private", path.display()));
        }
        Target::Directory(_) => {
            // What was restored says of itself what the origin does; before, nothing may.
            let same =
                isolated.identity().filter(|identity| !is_restored && Some(identity) == record.identity.as_ref());
            return match same {
                Some(identity) => Met::Doubt(format!("it calls itself {identity}, as the origin does")),
                None => Met::Apart(String::new()),
            };
        }
        Target::Url(url) => url,
    };
    let Ok(url) = Url::parse(url.trim()) else { return Met::Doubt("its URL cannot be read".to_owned()) };
    if is_own_socket(&url, scratch) {
        return Met::Apart(", on a socket that only this drill can reach".to_owned());
    }
    if !is_scratch(&url) {
        return Met::Doubt("its server is none of our own, and its database is none that we made".to_owned());
    }
    // One that cannot be had here cannot be met, either.
    let own = own_url.and_then(|own| Url::parse(own.resolve().ok()?.trim()).ok());
    if own.is_some_and(|own| place_of(&own) == place_of(&url)) {
        return Met::Doubt("it is the database that the source's own `url` names".to_owned());
    }
    compare(record.identity.as_deref(), isolated.identity().as_deref())
}

/// Compares what the origin called itself with what the server of the place does: the database is always another one.
fn compare(origin: Option<&str>, place: Option<&str>) -> Met {
    match (origin.and_then(server_of), place.and_then(server_of)) {
        _ if origin.is_some() && origin == place => {
            Met::Doubt(format!("it calls itself {}, as the origin does", place.unwrap_or_default()))
        }
        (Some(origin), Some(place)) if origin == place => {
            Met::Doubt(format!("its server calls itself {} {}, as that of the origin does", place.0, place.1))
        }
        (Some(origin), Some(place)) if origin.0 == place.0 => {
            Met::Apart(format!("; its server calls itself {} {}, and the origin's {}", place.0, place.1, origin.1))
        }
        (Some(_), _) => Met::Unknown("the server of the place does not say which one it is".to_owned()),
        (None, _) => Met::Unknown("the manifest does not say which server the origin is on".to_owned()),
    }
}

/// Returns the kind and the number of the server that an identity names, such as `postgres` and `7312…` of
/// `postgres 7312…/shop`; `None` if it names a host or an address, which may lead to the same server as another one.
fn server_of(identity: &str) -> Option<(&str, &str)> {
    let (kind, rest) = identity.split_once(' ')?;
    let number = rest.split('/').next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (NUMBERED.contains(&kind) && is_number).then_some((kind, number))
}

/// Says whether a path is in the private directory of the drill, or in one that this process made beside it: a server
/// that does not run as root has one of its own.
fn is_made_here(path: &Path, scratch: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    // What is to be made by the restore is not there yet.
    let Some(path) = path.ancestors().find_map(real) else { return false };
    let begin = own_prefix();
    let is_ours = |path: &Path| {
        let is_named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begin));
        is_named && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && is_from_here(meta.uid()))
    };
    real(scratch).is_some_and(|scratch| path.starts_with(scratch)) || path.ancestors().any(is_ours)
}

/// Says whether what belongs to `owner` can have been made by this process: root gives a server's directory away.
fn is_from_here(owner: u32) -> bool {
    let own = rustix::process::geteuid();
    own.is_root() || owner == own.as_raw()
}

/// Says whether a URL leads to a socket in a directory that this process made, and nowhere else.
fn is_own_socket(url: &Url, scratch: &Path) -> bool {
    let host = percent_decode_str(url.host_str().unwrap_or_default()).decode_utf8_lossy().into_owned();
    let named: Vec<String> = url
        .query_pairs()
        .filter(|(name, _)| SERVERS.contains(&name.to_ascii_lowercase().as_str()))
        .map(|(_, value)| value.into_owned())
        .collect();
    // A socket in a parameter stands in for the host, which then is this machine.
    let all = match named.is_empty() {
        true => vec![host],
        false if host.is_empty() || host == "localhost" => named,
        false => return false,
    };
    all.iter().all(|path| Path::new(path).is_absolute() && is_made_here(Path::new(path), scratch))
}

/// Says whether a URL names a database that only a drill makes.
fn is_scratch(url: &Url) -> bool {
    // A parameter would win over the path.
    if url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("dbname")) {
        return false;
    }
    let path = percent_decode_str(url.path()).decode_utf8_lossy();
    let digits = path.strip_prefix('/').and_then(|name| name.strip_prefix(DATABASE)).unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns server and database of a URL.
fn place_of(url: &Url) -> (String, Option<u16>, String) {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decoded(url.host_str().unwrap_or_default()).to_ascii_lowercase(), url.port(), decoded(url.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_a_database_that_a_drill_makes_is_a_scratch_database() {
        for (text, expected) in [
            ("postgres://u:p@h:5/holdpoint_drill_0123456789abcdef?sslmode=require", true),
            // As the source writes it.
            ("postgres://u:p@h:5/holdpoint%5Fdrill%5F0123456789abcdef?sslmode=require", true),
            ("mysql://h/holdpoint_drill_0123456789abcdef", true),
            ("postgres://h/shop", false),
            ("postgres://h/holdpoint_drill_", false),
            ("postgres://h/shop?options=holdpoint_drill_0123456789abcdef", false),
            ("postgres://h/holdpoint_drill_0123456789abcdef/shop", false),
            ("postgres://h/holdpoint_drill_0123456789abcdef%2Fshop", false),
            ("postgres://h/holdpoint_drill_0123456789abcdef?dbname=shop", false),
        ] {
            assert_eq!(is_scratch(&url(text)), expected, "{text}");
        }
        let place = |text| place_of(&url(text));
        assert_eq!(place("postgres://a:b@H:5432/shop?x=1"), place("postgres://c@h:5432/sh%6Fp"));
        assert_ne!(place("postgres://h/shop"), place("postgres://h/shop2"));
    }

    #[test]
    fn only_a_socket_in_a_directory_that_was_made_here_is_our_own() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = directory.path().join("scratch");
        let beside = directory.path().join(format!("{}x", own_prefix()));
        for path in [scratch.join("run"), beside.join("run"), directory.path().join("other")] {
            fs::create_dir_all(path).unwrap();
        }
        let encoded = |path: &Path| {
            percent_encoding::utf8_percent_encode(&path.display().to_string(), percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let ours = |text: &str| is_own_socket(&url(text), &scratch);
        for path in [scratch.join("run"), beside.join("run")] {
            let path = encoded(&path);
            assert!(ours(&format!("postgres://u@{path}/shop")), "{path}");
            assert!(ours(&format!("mysql://root:x@localhost/?socket={path}%2Fmysql.sock")), "{path}");
            assert!(!ours(&format!("mysql://root:x@db/?socket={path}")), "the host counts, too");
            assert!(!ours(&format!("postgres://u@db/shop?application_name={path}")), "only where it names a server");
            assert!(!ours(&format!("postgres://u@{path}/shop?host=db")));
        }
        assert!(!ours(&format!("postgres://u@{}/shop", encoded(&directory.path().join("other")))));
        // Named as one of ours, but nobody made it.
        let missing = directory.path().join("other").join(format!("{}y/run", own_prefix()));
        assert!(!ours(&format!("postgres://u@{}/shop", encoded(&missing))));
        assert!(!ours("postgres://u@db/shop"));
    }

    #[test]
    fn servers_are_told_apart_by_their_numbers_and_never_by_databases_or_addresses() {
        let scratch = |server: &str| format!("{server}/holdpoint_drill_0123456789abcdef");
        let of = |origin: Option<&str>, place: &str| compare(origin, Some(place));
        assert!(matches!(of(Some("postgres 73/shop"), &scratch("postgres 73")), Met::Doubt(_)));
        assert!(matches!(of(Some("postgres 73"), &scratch("postgres 73")), Met::Doubt(_)));
        assert!(matches!(of(Some("mysql 3e11-fa/shop"), &scratch("mysql 3e11-fa")), Met::Doubt(_)));
        let Met::Apart(words) = of(Some("postgres 73/shop"), &scratch("postgres 74")) else { panic!("apart") };
        assert!(words.contains("postgres 74") && words.contains("73"), "{words}");
        assert!(matches!(of(Some("mysql 3e11-fa/shop"), &scratch("mysql://db:3306")), Met::Unknown(_)));
        assert!(matches!(of(Some("mariadb on db/shop"), &scratch("mariadb on db2")), Met::Unknown(_)));
        assert!(matches!(of(None, &scratch("postgres 74")), Met::Unknown(_)));
        assert!(matches!(compare(Some("postgres 73/shop"), None), Met::Unknown(_)));
    }
}
