//! Consistency while others write.

use super::{restore, shop};
use crate::support::postgres::Postgres;
use std::process::Stdio;

const BALANCES: &str = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), \
    (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)";

#[test]
fn a_dump_under_load_balances() {
    let server = Postgres::start();
    for (settings, target) in [("", "custom"), ("jobs = 2", "directory")] {
        server.create(target, "").pgbench(target, 2);
        let mut load = server.client("pgbench", target);
        let mut load = load
            .args(["--client=4", "--time=1000", "--no-vacuum"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let transfers = || server.psql(target, "SELECT count(*) FROM pgbench_history").parse::<u64>().unwrap();
        while transfers() < 100 {}
        let shop = shop(&server.url(target), settings);
        let before = transfers();
        shop.gate(&[]).expect(0);
        assert!(transfers() > before, "nobody wrote during the capture");
        load.kill().unwrap();
        load.wait().unwrap();

        let restored = format!("{target} restored");
        restore(&shop, &["--target", &server.socket_url(&restored)]).expect(0);
        let sums = server.psql(&restored, BALANCES);
        let sums: Vec<&str> = sums.split('|').collect();
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
        let manifest = shop.manifest();
        let rows = &manifest.source("orders")["content"]["rows"]["public.pgbench_history"];
        assert_eq!(server.psql(&restored, "SELECT count(*) FROM pgbench_history"), rows.to_string());
    }
}
