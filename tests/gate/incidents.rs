//! What went wrong for others, and what the gate says to it. The database servers' part is with their sources.

use super::shop::{Shop, shell};

fn command(script: &str) -> String {
    let retry = "[gate]\nretry = { attempts = 1 }\n\n";
    format!("{retry}[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell(script))
}

/// GitLab, 2017: the backups went to a bucket in which there was nothing, and nobody had listed it.
#[test]
fn a_store_that_loses_what_it_took_refuses() {
    let shop = Shop::new();
    let data = shop.place("staging").join("repository/data");
    // Some packs are stored by the time that the dump comes to its end; then they are gone.
    let script = format!("head -c 60000000 /dev/urandom; find '{}' -type f -delete", data.display());
    shop.write("holdpoint.toml", command(&script));
    let output = shop.gate(&[]).expect(12);
    output.refuses_in_words();
    assert!(output.stdout.contains("cannot be read back") || output.stdout.contains("is missing"), "{}", output.stdout);
    shop.manifest().assert_refused("refused", &["read-back-failed"]);
    shop.assert_nothing_left();
}

/// GitLab, 2017: the dump had failed for months, and the mails that said so were never delivered. Here nothing has to be
/// delivered: the pipeline stops, and whoever looks at it reads why.
#[test]
fn a_dump_that_fails_stops_the_pipeline_and_says_why() {
    let shop = Shop::with(&command("echo 'pg_dump: error: server version: 9.6; pg_dump version: 9.2' >&2; exit 1"));
    let output = shop.gate(&["--html-out", "page.html"]).expect(10);
    output.refuses_in_words();
    assert!(output.stdout.contains("server version: 9.6; pg_dump version: 9.2"), "{}", output.stdout);
    assert!(shop.read("page.html").contains("server version: 9.6; pg_dump version: 9.2"));
    let listed = shop.holdpoint.run(["releases", "-e", "staging"]).expect(0);
    assert!(listed.stdout.contains("refused"), "{}", listed.stdout);
}
