//! Is it the right server? A wrong one, or one that was made afresh, answers on the right port, too.

use crate::config::Expect;
use crate::model::finding::{Finding, FindingCode};

/// Compares what a server says of itself with what is expected of it, or else with where the last snapshot came from.
pub fn judge(expect: &Expect, identity: Option<&str>, before: Option<&str>) -> Option<Finding> {
    let accept = |identity: &str| {
        format!("if this is the right server, say so: expect = {{ identity = \"{identity}\" }} in the source")
    };
    match (&expect.identity, identity, before) {
        (Some(expected), Some(identity), _) if expected == identity => None,
        (Some(expected), Some(identity), _) => {
            let message = format!("the server is {identity}, and expect.identity says {expected}");
            Some(Finding::refusal(FindingCode::IdentityChanged, message).hint("see that `url` names the right server"))
        }
        (Some(expected), None, _) => {
            let message = format!("the server does not say what it is, and expect.identity says {expected}");
            Some(Finding::refusal(FindingCode::IdentityChanged, message))
        }
        (None, Some(identity), Some(before)) if identity != before => {
            let message = format!("the server is {identity}, and the last snapshot came from {before}");
            Some(Finding::refusal(FindingCode::IdentityChanged, message).hint(accept(identity)))
        }
        (None, None, Some(before)) => {
            let message = format!("the server does not say what it is, and the last snapshot came from {before}");
            Some(Finding::refusal(FindingCode::IdentityChanged, message).hint(
                "see that `url` names the right server, and that its user may ask for what the server's page in the docs names",
            ))
        }
        (None, Some(_), _) | (None, None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_refuses_until_it_is_expected() {
        let any = Expect::default();
        let bound = Expect { identity: Some("postgres 7/shop".to_owned()), ..Expect::default() };
        assert_eq!(judge(&any, Some("postgres 7/shop"), None), None);
        assert_eq!(judge(&any, Some("postgres 7/shop"), Some("postgres 7/shop")), None);
        assert!(judge(&any, None, Some("postgres 7/shop")).unwrap().message.contains("does not say"));
        assert_eq!(judge(&any, None, None), None);
        let changed = judge(&any, Some("postgres 8/shop"), Some("postgres 7/shop")).unwrap();
        assert_eq!(changed.code, FindingCode::IdentityChanged);
        assert!(changed.hint.unwrap().contains("identity = \"postgres 8/shop\""));
        // What is expected rules, whatever came before: that is how a server is replaced.
        assert_eq!(judge(&bound, Some("postgres 7/shop"), Some("postgres 6/shop")), None);
        assert!(judge(&bound, Some("postgres 8/shop"), Some("postgres 8/shop")).is_some());
        assert!(judge(&bound, None, None).is_some());
    }
}
