//! The file that `init` writes is one that the parser takes.

use super::*;

fn server(name: &str, kind: Option<&'static str>, variable: Option<&str>) -> FoundServer {
    let variable = variable.map(str::to_owned);
    FoundServer { name: name.to_owned(), kind, variable, seen: format!("the trace \u{7}{name}") }
}

#[test]
fn the_example_of_the_template_is_read() {
    let empty = read(&template(&Found::default())).unwrap();
    assert!(empty.sources.is_empty() && empty.application.is_none());
    assert!(empty.environments.contains_key("production"));
    let found = Found {
        application: Some("sh\"op\\".to_owned()),
        directories: vec!["uploads".into(), "a/uploads".into(), "\u{7}".into()],
        databases: vec!["data/shop.db".into()],
        servers: vec![
            server("DATABASE_URL", Some("postgres"), Some("DATABASE_URL")),
            server("cache", Some("redis"), None),
            server("migrations", None, None),
        ],
        environments: vec!["review/x".to_owned(), "staging".to_owned()],
    };
    let config = read(&template(&found)).unwrap();
    assert_eq!(config.application.as_deref(), Some("sh\"op\\"));
    let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["database", "uploads", "uploads-2", "shop"]);
    assert_eq!(config.environments.keys().collect::<Vec<_>>(), ["review/x", "staging"]);
}

#[test]
fn the_commented_lines_of_the_template_are_right_too() {
    let lines = template(&Found::default());
    let uncommented: Vec<_> = lines
        .lines()
        .skip(3)
        .map(|line| match line.strip_prefix("# ") {
            // Prose begins with a capital letter; a key or table does not.
            Some(code) if !code.starts_with(char::is_uppercase) => code,
            _ => line,
        })
        .collect();
    let config = read(&uncommented.join("\n")).unwrap();
    assert_eq!(config.sources.len(), 3);
    assert!(config.environments["production"].deployed.is_some());
}
