//! Runs the corpus of the fuzz targets, and mutations of it, without a fuzzer.

#[path = "../fuzz/targets.rs"]
#[allow(dead_code, reason = "the entry points are reached through their table")]
mod targets;

use crate::support;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use targets::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Returns the names in a folder, without extensions.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = fuzz().join("corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A small generator (xorshift64*, S. Vigna), so that a failure comes back with the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        usize::try_from(high).unwrap() % limit.max(1)
    }

    /// Changes a few things in `data`; `others` lend pieces.
    fn mutate(&mut self, mut data: Vec<u8>, others: &[Vec<u8>]) -> Vec<u8> {
        const INTERESTING: [&[u8]; 14] = [
            b"",
            b"\"",
            b"\\",
            b"{",
            b"]",
            b"-1",
            b"0",
            b"18446744073709551616",
            b"1e400",
            b"null",
            b"../",
            b"\0",
            b"\xff",
            b"\xed\xa0\x80",
        ];
        for _ in 0..=self.below(4) {
            let at = self.below(data.len() + 1);
            let end = (at + self.below(24)).min(data.len());
            let piece: Vec<u8> = match self.below(6) {
                0 => INTERESTING[self.below(INTERESTING.len())].to_vec(),
                1 => vec![u8::try_from(self.below(256)).unwrap(); 1 + self.below(8)],
                2 => {
                    let other = &others[self.below(others.len())];
                    let from = self.below(other.len() + 1);
                    other[from..(from + self.below(64)).min(other.len())].to_vec()
                }
                3 => data[at..end].repeat(self.below(4)),
                4 => {
                    let bit = 1 << self.below(8);
                    data[at..end].iter().map(|byte| byte ^ bit).collect()
                }
                _ => {
                    data.truncate(at.max(1));
                    continue;
                }
            };
            data.splice(at..end, piece);
        }
        data
    }
}

fn run(name: &str, target: targets::Target, data: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(data)) {
        eprintln!("fuzz target {name} fails on {} (hexadecimal)", hex::encode(data));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let expected: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("corpus")), expected);
    assert_eq!(names(&fuzz().join("fuzz_targets")), expected);
    for name in expected {
        assert!(!corpus(&name).is_empty(), "{name}");
    }
}

#[test]
fn the_corpus_and_its_mutations_pass() {
    let mutations = if support::full() { 50_000 } else { 400 };
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        for data in &corpus {
            run(name, *target, data);
            for _ in 0..mutations {
                run(name, *target, &random.mutate(data.clone(), &corpus));
            }
        }
    }
}
