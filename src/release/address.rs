//! URLs as they may be shown: without what could be a secret.

use url::Url;

/// Returns an address without user information: of a URL (`https://user:password@host/path`) or of the short form of
/// ssh (`git@host:path`). Other texts stay as they are.
pub fn without_user_information(address: &str) -> String {
    if let Some((scheme, rest)) = address.split_once("://") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        return format!("{scheme}://{host}{path}");
    }
    match address.split_once('@') {
        Some((user, rest)) if rest.contains(':') && !user.contains(['/', ':']) => rest.to_owned(),
        _ => address.to_owned(),
    }
}

/// Returns a URL without user information, query and fragment, any of which can hold a token.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    without_user_information(shown.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_never_shown() {
        for (address, expected) in [
            ("https://user:pass@host/a@b", "https://host/a@b"),
            ("https://token@host", "https://host"),
            ("https://a@b@host:8443/x", "https://host:8443/x"),
            ("https://host/x?next=a@b", "https://host/x?next=a@b"),
            ("https://host?mail=a@b", "https://host?mail=a@b"),
            ("ssh://git@host/shop.git", "ssh://host/shop.git"),
            ("git@host:acme/shop.git", "host:acme/shop.git"),
            ("/srv/git/a@b:c.git", "/srv/git/a@b:c.git"),
            ("../shop", "../shop"),
        ] {
            assert_eq!(without_user_information(address), expected);
        }
        let url = Url::parse("https://u:p@host/version?token=secret#x").unwrap();
        assert_eq!(shown(&url), "https://host/version");
    }
}
