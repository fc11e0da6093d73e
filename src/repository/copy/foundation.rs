//! The first stage of a copy: key files, then the config that makes them a repository.

use super::super::config::RepositoryConfig;
use super::super::files::FileType;
use super::super::id::Id;
use super::super::{CONFIG, Repository};
use super::{Route, Tally, Trust};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::transfer::{conflict, put_verified};
use crate::storage::{Class, PutMode, ReadFrom, SharedStorage};

impl Repository {
    /// Says whether a storage holds this repository; `false` if it holds none.
    ///
    /// # Errors
    /// `copy-conflict` if it holds another one; `store-unavailable`.
    pub fn is_at(&self, to: &SharedStorage) -> Result<bool> {
        let Some(theirs) = to.get(CONFIG, ReadFrom::Medium)? else { return Ok(false) };
        if self.own_config()? == theirs {
            return Ok(true);
        }
        let mut sealed = theirs;
        let opened = self.key.open(&mut sealed).ok().map(|plain| RepositoryConfig::parse(plain));
        Err(match opened {
            Some(Ok(config)) if config.id == self.config.id => conflict(&**to, CONFIG, "is not the one of the source"),
            _ => Error::new(ErrorCode::CopyConflict, format!("{} holds another repository", to.location())).hint(
                "name an empty place for the copy; two repositories cannot share one, even if one password opens both",
            ),
        })
    }

    fn own_config(&self) -> Result<Vec<u8>> {
        let stored = self.storage.get(CONFIG, ReadFrom::Medium)?;
        stored.filter(|stored| super::super::opens(&self.key, stored)).ok_or_else(|| {
            let message = format!("the config of the repository at {} was altered or cut", self.location());
            Error::new(ErrorCode::Damaged, message)
        })
    }

    /// Copies key files and config, which are all that opening the copy needs. `to` must hold this repository or none.
    ///
    /// # Errors
    /// `copy-conflict`, `damaged`, the storages' own; a cancellation.
    pub fn copy_foundation(&self, to: &SharedStorage, trust: &Trust, tally: &Tally, cancel: &Cancel) -> Result<()> {
        let is_there = self.is_at(to)?;
        let route = Route { source: self, to };
        let mut there = super::plan::entries(to, FileType::Key)?;
        for (id, size) in self.list(FileType::Key)? {
            cancel.check()?;
            match there.remove(&id) {
                Some((_, modified)) if trust.holds(modified) => tally.count(|report| report.present += 1),
                Some(_) => {
                    route.read_back(FileType::Key, &id)?;
                    tally.read_back(size);
                }
                None => {
                    route.send(FileType::Key, &id, Class::Record)?;
                    tally.sent(size);
                }
            }
        }
        if is_there {
            tally.count(|report| report.present += 1);
            return Ok(());
        }
        let config = self.own_config()?;
        let (size, digest) = (config.len() as u64, Id::of(&config));
        put_verified(&**to, CONFIG, config.into(), digest.as_bytes(), PutMode::CreateOnly, Class::Record)?;
        tally.sent(size);
        Ok(())
    }
}
