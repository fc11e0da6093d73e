//! How much of each pack is needed. Of a blob that is stored twice, one place counts.

use super::choose::Fate;
use super::survey::Survey;
use super::used::Used;
use crate::repository::id::Id;
use crate::repository::index::{Index, PackNumber};
use crate::repository::pack::{BlobLocation, BlobType};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What the blobs of a pack are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Data,
    Trees,
    /// Both, as old clients wrote them; restic does not keep these.
    Mixed,
}

/// How much of a pack is needed, in bytes of sealed blobs.
#[derive(Debug, Clone)]
pub(super) struct PackUse {
    pub(super) id: Id,
    pub(super) size: u64,
    pub(super) used: u64,
    pub(super) unused: u64,
    pub(super) content: Content,
    /// Whether it cannot go, or not be read, for now.
    pub(super) stays: bool,
    /// Whether it holds a needed blob that is not what its id says, and is whole elsewhere.
    pub(super) damaged: bool,
}

/// A place of a blob.
pub(super) type Place = (PackNumber, BlobLocation);

/// How much of each pack is needed, in the order of the index.
pub(super) struct Shares {
    pub(super) packs: Vec<PackUse>,
    /// The places of needed blobs which are stored more than once; the first one counts.
    places: BTreeMap<(BlobType, Id), Vec<Place>>,
}

impl Shares {
    /// Compares what is stored with what is needed.
    pub(super) fn find(survey: &Survey, used: &Used) -> Self {
        survey.indexed.with_index(|index| {
            let packs = index.packs().map(|(_, pack)| {
                let (id, size) = (pack.id, pack.size);
                PackUse { id, size, used: 0, unused: 0, content: Content::Data, stays: false, damaged: false }
            });
            let mut shares = Self { packs: packs.collect(), places: BTreeMap::new() };
            let mut kinds = vec![[false; 2]; shares.packs.len()];
            let mut note = |pack: PackNumber, blob: &BlobLocation| {
                if let Some(kinds) = kinds.get_mut(pack.position()) {
                    kinds[usize::from(blob.kind == BlobType::Tree)] = true;
                }
            };
            let mut rivals = BTreeMap::<(BlobType, Id), Vec<Place>>::new();
            for (pack, blob) in &survey.again {
                note(*pack, blob);
                if used.contains(blob.kind, &blob.id) {
                    rivals.entry((blob.kind, blob.id)).or_default().push((*pack, *blob));
                } else {
                    shares.count(*pack, blob, false);
                }
            }
            for (pack, blob) in index.blobs() {
                note(pack, &blob);
                match rivals.get_mut(&(blob.kind, blob.id)) {
                    Some(rivals) => rivals.push((pack, blob)),
                    None => shares.count(pack, &blob, used.contains(blob.kind, &blob.id)),
                }
            }
            for (pack, kinds) in shares.packs.iter_mut().zip(kinds) {
                pack.content = match kinds {
                    [true, true] => Content::Mixed,
                    [_, true] => Content::Trees,
                    _ => Content::Data,
                };
            }
            shares.decide(rivals);
            shares
        })
    }

    /// Returns every needed blob and the place of it that counts.
    pub(super) fn needed<'a>(&'a self, index: &'a Index, used: &'a Used) -> impl Iterator<Item = Place> + 'a {
        let needed = index.blobs().filter(|(_, blob)| used.contains(blob.kind, &blob.id));
        needed.map(|place| {
            let (_, blob) = &place;
            // Most repositories hold nothing twice.
            if self.places.is_empty() {
                place
            } else {
                self.places.get(&(blob.kind, blob.id)).and_then(|places| places.first()).copied().unwrap_or(place)
            }
        })
    }

    fn count(&mut self, pack: PackNumber, blob: &BlobLocation, is_used: bool) {
        if let Some(pack) = self.packs.get_mut(pack.position()) {
            let sum = if is_used { &mut pack.used } else { &mut pack.unused };
            *sum += u64::from(blob.length);
        }
    }

    /// Chooses between the places of each blob. What stays anyhow comes first: a pack without anything useless, such as
    /// one that an interrupted prune wrote; then the one of which most is needed.
    fn decide(&mut self, rivals: BTreeMap<(BlobType, Id), Vec<Place>>) {
        let rank = |pack: &PackUse| (pack.unused > 0, Reverse(pack.used), Reverse(pack.size), pack.id);
        let mut order: Vec<usize> = (0..self.packs.len()).collect();
        order.sort_unstable_by_key(|position| self.packs.get(*position).map(rank));
        let mut places = vec![usize::MAX; self.packs.len()];
        for (place, position) in order.into_iter().enumerate() {
            if let Some(slot) = places.get_mut(position) {
                *slot = place;
            }
        }
        for (id, mut rivals) in rivals {
            rivals.sort_unstable_by_key(|(pack, blob)| (places.get(pack.position()).copied(), blob.offset));
            for (place, (pack, blob)) in rivals.iter().enumerate() {
                self.count(*pack, blob, place == 0);
            }
            self.places.insert(id, rivals);
        }
    }

    /// Returns the places that count and stay, of blobs of which another place goes.
    pub(super) fn relied_on<'a>(&'a self, fates: &'a [Fate]) -> impl Iterator<Item = Place> + 'a {
        let stays = |(pack, _): &Place| fates.get(pack.position()) == Some(&Fate::Keep);
        let given_up = move |places: &&Vec<Place>| places.first().is_some_and(stays) && !places.iter().all(stays);
        self.places.values().filter(given_up).filter_map(|places| places.first().copied())
    }

    /// Lets the next place of a blob count, for the one that did is damaged; `false` if there is no other.
    pub(super) fn reject(&mut self, blob: &BlobLocation) -> bool {
        let Some(places) = self.places.get_mut(&(blob.kind, blob.id)).filter(|places| places.len() > 1) else {
            return false;
        };
        let (pack, damaged) = places.remove(0);
        let next = places.first().copied();
        if let Some(pack) = self.packs.get_mut(pack.position()) {
            pack.used = pack.used.saturating_sub(damaged.length.into());
            pack.damaged = true;
        }
        self.count(pack, &damaged, false);
        if let Some((pack, blob)) = next {
            if let Some(pack) = self.packs.get_mut(pack.position()) {
                pack.unused = pack.unused.saturating_sub(blob.length.into());
            }
            self.count(pack, &blob, true);
        }
        true
    }

    /// Keeps all packs that hold a blob; returns those that were to go.
    pub(super) fn hold(&mut self, blob: &BlobLocation, fates: &[Fate]) -> Vec<(Id, u64)> {
        let Some(places) = self.places.get(&(blob.kind, blob.id)) else { return Vec::new() };
        let mut held = Vec::new();
        for (pack, _) in places {
            let position = pack.position();
            let goes = fates.get(position).is_some_and(|fate| *fate != Fate::Keep);
            if let Some(pack) = self.packs.get_mut(position).filter(|pack| goes && !pack.stays) {
                pack.stays = true;
                held.push((pack.id, pack.size));
            }
        }
        held
    }
}
