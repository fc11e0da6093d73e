//! No text makes the parser panic.

use super::*;
use proptest::prelude::*;

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(WHOLE.lines().collect::<Vec<_>>()).prop_map(|line| format!("{line}\n")),
        prop::sample::select(vec![
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            "=",
            ".",
            ",",
            "\"",
            "'''",
            "\n",
            "0x",
            "1e999",
            "source",
            "environment.",
            "nan"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn no_mixture_of_pieces_makes_the_parser_panic(pieces in prop::collection::vec(piece(), 0..24)) {
        if let Err(error) = read(&pieces.concat()) {
            prop_assert!(!list(&error).is_empty());
        }
    }
}
