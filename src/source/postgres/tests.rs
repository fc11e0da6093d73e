use super::*;
use crate::error::ErrorCode;
use std::time::Duration;

fn server() -> Server {
    let config = ServerConfig {
        url: crate::config::Text::Plain("postgres://u@db/shop".to_owned()),
        programs: None,
        connect_timeout: Duration::from_secs(1),
        schema_version_query: None,
    };
    Server::new("main", &config, Path::new("/"))
}

#[test]
fn only_the_server_that_was_judged_is_captured() {
    let server = server();
    let endpoint = Endpoint::parse("postgres://u@db/shop", Duration::from_secs(1)).unwrap();
    let facts = |identifier: &str| ServerFacts::sample(Some(identifier));
    server.must_be_as_before(&endpoint, &facts("7")).unwrap();
    server.known().facts = Some(facts("7"));
    server.must_be_as_before(&endpoint, &facts("7")).unwrap();
    for other in [facts("8"), ServerFacts { database: "other".to_owned(), ..facts("7") }, ServerFacts::sample(None)] {
        let error = server.must_be_as_before(&endpoint, &other).unwrap_err();
        assert_eq!(error.code(), ErrorCode::CaptureFailed);
        assert!(error.message().contains("db:5432 is not the server that it was"), "{error}");
    }
}
