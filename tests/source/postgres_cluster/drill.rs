//! Places for drills of whole clusters: a server of the same version on what was restored.

use crate::support::captured::{Captured, Place, assert_same};
use crate::support::postgres::{Postgres, programs_15};

fn settings(server: &Postgres, more: &str) -> String {
    let (url, programs) = (server.socket_url("bank"), programs_15());
    format!("kind = \"postgres\"\nurl = \"{url}\"\nprograms = \"{}\"\n{more}", programs.display())
}

#[test]
fn a_base_backup_comes_up_in_a_server_of_its_own_which_leaves_nothing() {
    let server = Postgres::start();
    server.create("bank", "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('before')");
    let captured = Captured::of(&settings(&server, "method = \"base-backup\""));
    server.psql("bank", "INSERT INTO notes VALUES ('after')");
    let told = captured.source.look(&captured.context).unwrap().unwrap();
    assert_same(&told, &captured.content, &["system_identifier", "server_major_version"]);
    let place = Place::new();
    let mut isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
    captured.restore(&*isolated).unwrap();
    isolated.start(&captured.context).unwrap();
    let looked = isolated.look(&captured.context).unwrap();
    assert_same(&looked, &captured.content, &["system_identifier", "server_major_version"]);
    let ask = |question: &str| isolated.ask(&captured.context, question).unwrap();
    assert_eq!(ask("SELECT text, pg_is_in_recovery() FROM notes"), "before|f");
    assert_eq!(ask("SHOW archive_mode"), "off");
    assert_eq!(isolated.identity(), None);
    let psql = server.outside("psql", &isolated.variables(), &["-XAtc", "SELECT current_database()"]);
    assert_eq!(psql, "bank");
    isolated.remove(&captured.context).unwrap();
    place.assert_nothing_left();
    assert_eq!(server.left(), "");
}
