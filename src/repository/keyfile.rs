//! Key files: the repository's master key, sealed with a key derived from a password (restic `doc/design.rst`, "Keys").

use super::crypto::Key;
use crate::error::{Error, ErrorCode, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most memory that deriving a key may take: a hostile key file must not exhaust the machine.
const MAX_DERIVATION_MEMORY: u64 = 1 << 30;

/// What scrypt costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// For a password that a person chose: what restic comes to on most machines, about a fifth of a second.
    Password,
    /// For a password of 256 random bits, which nobody can guess: one mebibyte, a few milliseconds.
    RandomKey,
}

impl Cost {
    /// Returns log₂ N, r and p.
    fn parameters(self) -> (u8, u32, u32) {
        match self {
            Self::Password => (15, 8, 4),
            Self::RandomKey => (10, 8, 1),
        }
    }
}

/// A key file as it is stored: plain JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyFile {
    hostname: String,
    username: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    created: Timestamp,
    data: String,
    salt: String,
}

/// The master key inside a key file.
#[derive(Serialize, Deserialize)]
struct MasterKey {
    mac: MacKey,
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct MacKey {
    k: String,
    r: String,
}

impl KeyFile {
    /// Seals `key` with `password`; `hostname` and `username` tell people whose key it is.
    ///
    /// # Errors
    /// `internal`, if the system's source of randomness does not answer.
    pub fn create(key: &Key, password: &str, cost: Cost, hostname: String, username: String) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(ErrorCode::Internal, format!("cannot create a key file: {error}"))
        };
        let (encrypt, mac) = key.as_bytes().split_at(32);
        let (k, r) = mac.split_at(16);
        let master = MasterKey {
            mac: MacKey { k: BASE64_STANDARD.encode(k), r: BASE64_STANDARD.encode(r) },
            encrypt: BASE64_STANDARD.encode(encrypt),
        };
        let plain = serde_json::to_vec(&master).map_err(|error| failed(&error))?;
        let mut salt = [0; 64];
        getrandom::fill(&mut salt).map_err(|error| failed(&error))?;
        let (log_n, r, p) = cost.parameters();
        let user_key = derive(password, &salt, log_n, r, p).map_err(|error| failed(&error))?;
        let sealed = user_key.seal(&plain).map_err(|error| failed(&error))?;
        Ok(Self {
            hostname,
            username,
            kdf: "scrypt".to_owned(),
            n: 1 << log_n,
            r,
            p,
            created: Timestamp::now(),
            data: BASE64_STANDARD.encode(sealed),
            salt: BASE64_STANDARD.encode(salt),
        })
    }

    /// Opens the master key; `None` if the password is not this file's.
    ///
    /// # Errors
    /// `damaged`, if the file makes no sense.
    pub fn open(&self, password: &str) -> Result<Option<Key>> {
        let damaged = |what: &str| Error::new(ErrorCode::Damaged, format!("the key file is damaged: {what}"));
        if self.kdf != "scrypt" {
            return Err(damaged("its key derivation is not scrypt"));
        }
        if !self.n.is_power_of_two() || self.n < 2 {
            return Err(damaged("scrypt's N is not a power of two"));
        }
        let memory = self.n.saturating_mul(128).saturating_mul(u64::from(self.r));
        if memory.saturating_mul(u64::from(self.p.max(1))) > MAX_DERIVATION_MEMORY * 16
            || memory > MAX_DERIVATION_MEMORY
        {
            return Err(damaged("scrypt's parameters ask for more memory than any real key does"));
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).unwrap_or(u8::MAX);
        let salt = BASE64_STANDARD.decode(&self.salt).map_err(|_| damaged("its salt is not base64"))?;
        let mut data = BASE64_STANDARD.decode(&self.data).map_err(|_| damaged("its data is not base64"))?;
        let user_key =
            derive(password, &salt, log_n, self.r, self.p).map_err(|_| damaged("scrypt refuses its parameters"))?;
        let Ok(plain) = user_key.open(&mut data) else { return Ok(None) };
        let master: MasterKey =
            serde_json::from_slice(plain).map_err(|_| damaged("its master key is not what it should be"))?;
        let mut bytes = Vec::with_capacity(64);
        for part in [&master.encrypt, &master.mac.k, &master.mac.r] {
            bytes.extend(BASE64_STANDARD.decode(part).map_err(|_| damaged("its master key is not base64"))?);
        }
        let bytes: [u8; 64] = bytes.try_into().map_err(|_| damaged("its master key has another length"))?;
        Ok(Some(Key::from_bytes(bytes)))
    }
}

fn derive(password: &str, salt: &[u8], log_n: u8, r: u32, p: u32) -> std::result::Result<Key, String> {
    let parameters = scrypt::Params::new(log_n, r, p).map_err(|error| error.to_string())?;
    let mut bytes = [0; 64];
    scrypt::scrypt(password.as_bytes(), salt, &parameters, &mut bytes).map_err(|error| error.to_string())?;
    Ok(Key::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_opens_with_its_password_alone() {
        let key = Key::random().unwrap();
        let file = KeyFile::create(&key, "secret", Cost::RandomKey, "host".into(), "user".into()).unwrap();
        let json = serde_json::to_string(&file).unwrap();
        assert!(!json.contains("secret"));
        let file: KeyFile = serde_json::from_str(&json).unwrap();
        assert_eq!(file.open("secret").unwrap().unwrap().as_bytes(), key.as_bytes());
        assert!(file.open("other").unwrap().is_none());
    }

    #[test]
    fn hostile_parameters_are_refused() {
        let key = Key::random().unwrap();
        let mut file = KeyFile::create(&key, "secret", Cost::RandomKey, String::new(), String::new()).unwrap();
        for (n, r, p) in [(1 << 40, 8, 1), (0, 8, 1), (3, 8, 1), (1024, 0, 1), (1024, 8, u32::MAX), (1024, u32::MAX, 1)]
        {
            (file.n, file.r, file.p) = (n, r, p);
            assert_eq!(file.open("secret").unwrap_err().code(), ErrorCode::Damaged, "{n} {r} {p}");
        }
    }
}
