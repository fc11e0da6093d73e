//! Restores into what is there: refused, or replaced as a whole.

use super::{SCHEMA, everything, restore, shop};
use crate::support::postgres::Postgres;

#[test]
fn a_database_is_replaced_as_a_whole_or_not_at_all() {
    let server = Postgres::start();
    server.create("shop", SCHEMA);
    server.psql("postgres", "CREATE ROLE owner_of_shop; CREATE ROLE reader");
    server.psql(
        "shop",
        "ALTER TABLE orders OWNER TO owner_of_shop; ALTER DATABASE shop SET search_path TO \"Lager Süd\", public",
    );
    server.psql("postgres", "GRANT CREATE ON DATABASE shop TO reader; ALTER DATABASE shop SET work_mem TO '8MB'");
    let shop = shop(&server.url("shop"), "");
    shop.gate(&[]).expect(0);
    let expected = everything(&server, "shop");

    // What came after the snapshot.
    server.psql(
        "shop",
        "CREATE TABLE public.later (id int); DELETE FROM public.orders; SELECT nextval('public.customers_id_seq')",
    );
    let damaged = everything(&server, "shop");
    restore(&shop, &[]).expect(17).says(&["is not empty", "table public.customers", "--force"]);
    assert_eq!(everything(&server, "shop"), damaged);

    // A restore that fails leaves the database as it is.
    server.psql("postgres", "REASSIGN OWNED BY owner_of_shop TO postgres");
    server.psql("shop", "REASSIGN OWNED BY owner_of_shop TO postgres");
    server.psql("postgres", "DROP ROLE owner_of_shop");
    restore(&shop, &["--force"]).expect(17).says(&["owner_of_shop", "globals.sql"]);
    assert_eq!(everything(&server, "shop"), damaged);
    server.psql("postgres", "CREATE ROLE owner_of_shop");

    // Somebody is in the database all the time.
    let mut idle = server.client("psql", "shop").args(["-c", "SELECT pg_sleep(1000)"]).spawn().unwrap();
    restore(&shop, &["--force"]).expect(0);
    assert!(!idle.wait().unwrap().success());
    assert_eq!(everything(&server, "shop"), expected);
    assert_eq!(server.psql("shop", "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'"), "owner_of_shop");
    assert_eq!(server.psql("shop", "SHOW search_path; SHOW work_mem"), "\"Lager Süd\", public\n8MB");
    assert_eq!(server.psql("shop", "SELECT has_database_privilege('reader', 'shop', 'CREATE')"), "t");
    let databases = server.psql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database");
    assert_eq!(databases, "postgres shop template0 template1");

    // Files, with the roles among them.
    let target = shop.beside("files");
    restore(&shop, &["--target", target.to_str().unwrap()]).expect(0);
    assert!(target.join("orders.dump").is_file() && target.join("globals.sql").is_file());
}
