//! Drills of what is in a store, and not of what this machine has kept of it.

use crate::gate::shop::{STAGING, Shop, names};
use crate::support::s3::Server;
use aws_sdk_s3::primitives::ByteStream;

#[test]
fn what_the_cache_of_the_machine_holds_proves_nothing_of_the_store() {
    let server = Server::in_process();
    let bucket = server.bucket("drill");
    let sources = "application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n";
    let mut shop = Shop::with(sources);
    for (name, value) in server.environment() {
        shop = shop.env(name, value);
    }
    let shop = shop.env("HOLDPOINT_STORE", format!("s3://{bucket}/hp")).env("HOLDPOINT_PASSWORD", "secret enough");
    shop.write("uploads/mug.txt", "a mug\n");
    shop.gate(&[]).expect(0);
    let drill = || shop.holdpoint.run(["drill", "--environment", STAGING, "--format", "json"]);
    drill().expect(0);

    assert!(!names(&shop.holdpoint.home().join(".cache/holdpoint")).is_empty(), "the gate kept something");
    let client = server.client();
    let index = "hp/shop/staging/repository/index/";
    let listed = server.wait(client.list_objects_v2().bucket(&bucket).prefix(index).send()).unwrap();
    for object in listed.contents.unwrap() {
        let put = client.put_object().bucket(&bucket).key(object.key.unwrap());
        server.wait(put.body(ByteStream::from_static(b"what the store holds now")).send()).unwrap();
    }
    let document = drill().expect(18).json();
    let finding = &document["drills"][0]["drill"]["findings"][0];
    assert_eq!(finding["code"], "drill-restore-failed", "{document:#}");
}
