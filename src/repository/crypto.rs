//! Sealing: AES-256 in counter mode, authenticated by Poly1305-AES (restic `doc/design.rst`, "Keys, Encryption and MAC").
//!
//! A sealed text is `IV (16 bytes) ‖ cipher text ‖ MAC (16 bytes)`.

use aes256ctr_poly1305aes::aead::AeadInPlace;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Nonce, Tag};
use std::fmt;

/// How much longer a sealed text is than the plain one.
pub const OVERHEAD: usize = IV + MAC;
const IV: usize = 16;
const MAC: usize = 16;

/// A key that seals and opens: 32 bytes for the cipher, 16 and 16 for the parts `k` and `r` of the MAC.
#[derive(Clone)]
pub struct Key {
    cipher: Aes256CtrPoly1305Aes,
    bytes: [u8; 64],
}

/// A sealed text that was altered, cut, or sealed with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message authentication code does not match")]
pub struct Forged;

impl Key {
    /// Creates a random key.
    ///
    /// # Errors
    /// The system's source of randomness does not answer.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Creates the key from cipher key, `k` and `r`, in this order.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self { cipher: Aes256CtrPoly1305Aes::new(&bytes.into()), bytes }
    }

    /// Returns cipher key, `k` and `r`, in this order.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.bytes
    }

    /// Appends the sealed form of `plain` to `out`.
    ///
    /// # Errors
    /// The system's source of randomness does not answer, or the text is too long to seal (over 64 GiB).
    pub fn seal_into(&self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = out.len();
        let mut iv = [0; IV];
        getrandom::fill(&mut iv)?;
        out.reserve(plain.len() + OVERHEAD);
        out.extend_from_slice(&iv);
        out.extend_from_slice(plain);
        let body = out.get_mut(start + IV..).unwrap_or_default();
        match self.cipher.encrypt_in_place_detached(Nonce::from_slice(&iv), &[], body) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(())
            }
            Err(_) => {
                out.truncate(start);
                Err(SealError::TooLong)
            }
        }
    }

    /// Returns the sealed form of `plain`.
    ///
    /// # Errors
    /// As [`Key::seal_into`].
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
        self.seal_into(plain, &mut out)?;
        Ok(out)
    }

    /// Opens `sealed` in place and returns the part of it that is the plain text.
    ///
    /// # Errors
    /// The text was altered, cut, or sealed with another key; nothing of it may be used.
    pub fn open<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], Forged> {
        let (iv, rest) = sealed.split_at_mut_checked(IV).ok_or(Forged)?;
        let length = rest.len().checked_sub(MAC).ok_or(Forged)?;
        let (body, mac) = rest.split_at_mut_checked(length).ok_or(Forged)?;
        let opened = self.cipher.decrypt_in_place_detached(Nonce::from_slice(iv), &[], body, Tag::from_slice(mac));
        opened.map_err(|_| Forged)?;
        Ok(body)
    }
}

/// Why a text could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No random initialisation vector was to be had.
    #[error("the system's source of randomness does not answer")]
    Random(#[from] getrandom::Error),
    /// The text is too long for the cipher.
    #[error("the text is too long to seal")]
    TooLong,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_every_altered_byte_is_noticed() {
        let key = Key::random().unwrap();
        let sealed = key.seal(b"orders").unwrap();
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert_eq!(key.open(&mut sealed.clone()).unwrap(), b"orders");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key.open(&mut altered), Err(Forged), "byte {at}");
            assert_eq!(key.open(&mut sealed[..at].to_vec()), Err(Forged), "cut at {at}");
        }
        assert!(Key::random().unwrap().open(&mut sealed.clone()).is_err());
    }
}
