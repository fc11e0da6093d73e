//! `kind = "postgres"`, by the files and the log of whole clusters, against real servers.

mod base_backup;
mod drill;
mod restore_point;

use crate::support::postgres::Postgres;
use crate::support::shop::Shop;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Stdio};

/// Fails unless the last run found something with a code, and said something of it.
#[track_caller]
fn assert_finding(shop: &Shop, code: &str, says: &str) {
    let manifest = shop.manifest();
    let findings = manifest["decision"]["findings"].as_array().unwrap();
    let text = |finding: &serde_json::Value| format!("{} {}", finding["message"], finding["hint"]);
    let found = findings.iter().any(|finding| finding["code"] == code && text(finding).contains(says));
    assert!(found, "no {code} that says {says:?} in {findings:#?}");
}

/// Ends a program when dropped.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::INT);
        let _ = self.0.wait();
    }
}

/// Starts transfers between accounts, for as long as the load is kept.
fn transfers(server: &Postgres, database: &str) -> Load {
    let mut pgbench = server.client("pgbench", database);
    pgbench.args(["--client=4", "--time=600", "--no-vacuum"]).stdout(Stdio::null()).stderr(Stdio::null());
    let load = Load(pgbench.spawn().unwrap());
    while server.psql(database, "SELECT count(*) > 20 FROM pgbench_history") != "t" {}
    load
}

/// Fails unless every transfer is there whole: accounts, tellers, branches and history come to the same sum.
#[track_caller]
fn assert_balances(server: &Postgres, database: &str) {
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), \
        (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)";
    let sums = server.psql(database, sums);
    let mut sums = sums.split('|');
    let first = sums.next().unwrap();
    assert!(sums.all(|sum| sum == first), "the sums differ");
}
