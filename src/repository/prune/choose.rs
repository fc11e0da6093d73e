//! Which packs stay, which go, and which are written anew. Pure.

use super::share::{Content, PackUse};
use super::{MaxUnused, Options};

/// A pack below this size is small: many of them cost more requests than they need.
const SMALL: u64 = 1 << 20;
/// So many small packs of which all is needed are worth joining.
const MANY: usize = 10;

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    /// Nothing of it is needed.
    Remove,
    /// What is needed of it is written anew; then it goes.
    Repack,
}

impl MaxUnused {
    /// Returns how many useless bytes may stay beside `used` needed ones.
    fn limit(self, used: u64) -> u64 {
        match self {
            Self::Percent(percent) => match u64::from(percent) {
                percent @ 0..100 => (u128::from(used) * u128::from(percent) / u128::from(100 - percent)) as u64,
                _ => u64::MAX,
            },
            Self::Bytes(bytes) => bytes,
            Self::Unlimited => u64::MAX,
        }
    }
}

/// Decides on every pack, in their order: those of which nothing is needed go. Of the others, packs of trees, packs that
/// hold both, small ones and damaged ones are written anew where anything in them is of no use, for these are read by every run; packs of
/// data, the most useless first, until no more is useless than is allowed.
pub(super) fn choose(packs: &[PackUse], options: &Options) -> Vec<Fate> {
    let mut fates = vec![Fate::Keep; packs.len()];
    let (mut partly, mut small) = (Vec::new(), Vec::new());
    for (position, (pack, fate)) in packs.iter().zip(&mut fates).enumerate() {
        match pack {
            pack if pack.stays => {}
            pack if pack.used == 0 => *fate = Fate::Remove,
            pack if pack.unused > 0 || pack.content == Content::Mixed => partly.push((position, pack)),
            pack if pack.size < SMALL => small.push((position, pack)),
            _ => {}
        }
    }
    if options.max_unused == MaxUnused::Unlimited {
        return fates;
    }
    let used = packs.iter().map(|pack| pack.used).sum();
    let limit = options.max_unused.limit(used);
    let mut useless: u64 = partly.iter().map(|(_, pack)| pack.unused).sum();
    if small.len() >= MANY {
        partly.append(&mut small);
    }
    let matters = |pack: &PackUse| pack.damaged || pack.content != Content::Data || pack.size < SMALL;
    partly.sort_unstable_by(|(_, one), (_, two)| {
        let ratio = |one: &PackUse, two: &PackUse| u128::from(one.unused) * u128::from(two.used);
        let by_ratio = ratio(two, one).cmp(&ratio(one, two));
        matters(two).cmp(&matters(one)).then(by_ratio).then(one.id.cmp(&two.id))
    });
    let mut left = options.max_repack.unwrap_or(u64::MAX);
    for (position, pack) in partly {
        if pack.size > left || (!matters(pack) && useless <= limit) {
            continue;
        }
        left -= pack.size;
        useless -= pack.unused;
        if let Some(fate) = fates.get_mut(position) {
            *fate = Fate::Repack;
        }
    }
    fates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Id;
    use Fate::{Keep, Remove, Repack};

    const LARGE: u64 = 8 << 20;

    fn pack(used: u64, unused: u64, content: Content) -> PackUse {
        let id = Id::of(format!("{used} {unused}").as_bytes());
        PackUse { id, size: used + unused + 100, used, unused, content, stays: false, damaged: false }
    }

    fn fates(packs: &[PackUse], max_unused: MaxUnused, max_repack: Option<u64>) -> Vec<Fate> {
        choose(packs, &Options { max_unused, max_repack })
    }

    #[test]
    fn what_nothing_needs_goes_and_what_stays_stays() {
        let mut packs = vec![pack(0, LARGE, Content::Data), pack(LARGE, 0, Content::Data), pack(0, 0, Content::Data)];
        packs.push(PackUse { stays: true, ..pack(0, 5, Content::Data) });
        packs.push(PackUse { stays: true, ..pack(1, LARGE, Content::Trees) });
        assert_eq!(fates(&packs, MaxUnused::Percent(0), None), [Remove, Keep, Remove, Keep, Keep]);
        assert_eq!(fates(&packs, MaxUnused::Unlimited, None), [Remove, Keep, Remove, Keep, Keep]);
    }

    #[test]
    fn data_is_written_anew_until_little_enough_is_useless_the_worst_first() {
        let data = |useless: u64| pack(LARGE, useless, Content::Data);
        let packs = [data(LARGE / 100), data(LARGE / 2), data(LARGE / 20)];
        assert_eq!(fates(&packs, MaxUnused::Percent(5), None), [Keep, Repack, Keep]);
        assert_eq!(fates(&packs, MaxUnused::Percent(1), None), [Keep, Repack, Repack]);
        assert_eq!(fates(&packs, MaxUnused::Percent(0), None), [Repack; 3]);
        assert_eq!(fates(&packs, MaxUnused::Percent(100), None), [Keep; 3]);
        assert_eq!(fates(&packs, MaxUnused::Bytes(LARGE / 100), None), [Keep, Repack, Repack]);
        assert_eq!(fates(&packs, MaxUnused::Bytes(LARGE), None), [Keep; 3]);
        assert_eq!(fates(&packs, MaxUnused::Percent(0), Some(LARGE + LARGE / 2 + 100)), [Keep, Repack, Keep]);
        assert_eq!(fates(&packs, MaxUnused::Unlimited, None), [Keep; 3]);
    }

    #[test]
    fn trees_and_small_packs_are_written_anew_whatever_is_allowed() {
        let packs = [
            pack(LARGE, 1, Content::Trees),
            pack(LARGE, 0, Content::Mixed),
            pack(10, 1, Content::Data),
            pack(LARGE, 1, Content::Data),
            pack(10, 0, Content::Data),
        ];
        assert_eq!(fates(&packs, MaxUnused::Percent(99), None), [Repack, Repack, Repack, Keep, Keep]);
        let damaged = PackUse { damaged: true, ..pack(LARGE, 1, Content::Data) };
        assert_eq!(fates(&[damaged], MaxUnused::Percent(99), None), [Repack]);
        let small: Vec<PackUse> = (1..=10).map(|used| pack(used, 0, Content::Data)).collect();
        assert_eq!(fates(&small, MaxUnused::Percent(5), None), [Repack; 10]);
        assert_eq!(fates(&small[1..], MaxUnused::Percent(5), None), [Keep; 9]);
    }
}
