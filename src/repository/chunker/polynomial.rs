//! Polynomials over GF(2): the secret parameter of a repository's chunker.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};

/// The degree of every chunker polynomial; being prime, it makes the test for irreducibility short.
pub(super) const DEGREE: u32 = 53;

/// The polynomial X.
const X: u64 = 0b10;

/// How many random polynomials are tried. Two of 53 with a constant term are irreducible, so that failing this often
/// means a broken source of randomness.
const MAX_TRIES: u32 = 10_000;

/// An irreducible polynomial of degree 53 over GF(2), as in the `chunker_polynomial` of a repository's configuration.
///
/// Bit `n` is the coefficient of X^n. The text form is lower-case hexadecimal without a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Polynomial(u64);

impl Polynomial {
    /// Takes the coefficients of a polynomial.
    ///
    /// # Errors
    /// `foreign-repository` if the degree is not 53 or the polynomial is reducible.
    pub fn new(coefficients: u64) -> Result<Self> {
        if degree(coefficients.into()) != Some(DEGREE) {
            return Err(unusable(&format!("is not of degree {DEGREE}")));
        }
        if !is_irreducible(coefficients) {
            return Err(unusable("is reducible"));
        }
        Ok(Self(coefficients))
    }

    /// Returns a random polynomial for a new repository, from the randomness of the operating system.
    ///
    /// # Errors
    /// `internal` if the operating system gives no randomness.
    pub fn random() -> Result<Self> {
        for _ in 0..MAX_TRIES {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).map_err(|error| {
                Error::new(ErrorCode::Internal, "cannot draw a random chunker polynomial").caused_by(error)
            })?;
            // The degree is fixed, and a constant term is needed: without it, X is a factor.
            let below_degree = (1 << DEGREE) - 1;
            let candidate = (u64::from_le_bytes(bytes) & below_degree) | (1 << DEGREE) | 1;
            if is_irreducible(candidate) {
                return Ok(Self(candidate));
            }
        }
        Err(Error::new(ErrorCode::Internal, format!("no irreducible chunker polynomial in {MAX_TRIES} random ones")))
    }

    /// Returns the remainder of `value` divided by this polynomial.
    pub(super) fn remainder(self, value: u128) -> u64 {
        remainder(value, self.0)
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for Polynomial {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The standard parser would let a sign pass.
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unusable("is not a hexadecimal number"));
        }
        let coefficients = u64::from_str_radix(text, 16)
            .map_err(|error| unusable("is not a hexadecimal number of at most 64 bits").caused_by(error))?;
        Self::new(coefficients)
    }
}

impl TryFrom<String> for Polynomial {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Polynomial> for String {
    fn from(polynomial: Polynomial) -> Self {
        polynomial.to_string()
    }
}

/// Creates the error of a polynomial that cannot be used; the value stays out of it, since it is kept encrypted.
fn unusable(why: &str) -> Error {
    Error::new(ErrorCode::ForeignRepository, format!("the chunker polynomial of the repository {why}"))
}

/// Returns the degree of a polynomial; `None` for zero.
fn degree(polynomial: u128) -> Option<u32> {
    polynomial.checked_ilog2()
}

/// Returns the remainder of `value` divided by `divisor`, by long division; `value` itself if `divisor` is zero.
fn remainder(mut value: u128, divisor: u64) -> u64 {
    let divisor = u128::from(divisor);
    while let (Some(high), Some(low)) = (degree(value), degree(divisor))
        && high >= low
    {
        value ^= divisor << (high - low);
    }
    value as u64
}

/// Returns the square of `value`: over GF(2) every coefficient moves to twice its exponent, and nothing mixes.
fn square(value: u64) -> u128 {
    (0..u64::BITS).filter(|bit| (value >> bit) & 1 == 1).fold(0, |square, bit| square | (1 << (2 * bit)))
}

/// Says whether a polynomial of degree 53 is irreducible, by Rabin's test.
///
/// X^(2^n) − X is the product of all irreducible polynomials whose degree divides n (M. O. Rabin, "Probabilistic
/// Algorithms in Finite Fields", 1980). For the prime n = 53 these are of degree 1 or 53, so that it remains to see
/// that neither X nor X + 1 is a factor.
fn is_irreducible(polynomial: u64) -> bool {
    let has_root_zero = polynomial & 1 == 0;
    let has_root_one = polynomial.count_ones().is_multiple_of(2);
    let power = (0..DEGREE).fold(X, |power, _| remainder(square(power), polynomial));
    !has_root_zero && !has_root_one && power == X
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplies without carries.
    fn product(a: u64, b: u64) -> u128 {
        (0..u64::BITS).filter(|bit| (b >> bit) & 1 == 1).fold(0, |sum, bit| sum ^ (u128::from(a) << bit))
    }

    fn refusal(text: &str) -> String {
        let error = text.parse::<Polynomial>().unwrap_err();
        assert_eq!(error.code(), ErrorCode::ForeignRepository);
        error.message().to_owned()
    }

    #[test]
    fn polynomials_of_real_repositories_are_read_and_written_back() {
        for text in ["25b468838dcb75", "3da3358b4dc173", "25eafb472f06d5", "2531816f037563"] {
            assert_eq!(text.parse::<Polynomial>().unwrap().to_string(), text);
            let json = format!("\"{text}\"");
            let read: Polynomial = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }

    #[test]
    fn what_is_no_usable_polynomial_is_refused() {
        for text in ["0x25b468838dcb75", "+25b468838dcb75", " 25b468838dcb75", "polynomial", "é"] {
            assert!(refusal(text).ends_with("is not a hexadecimal number"), "{text}");
        }
        for text in ["", "125b468838dcb75000"] {
            assert!(refusal(text).ends_with("of at most 64 bits"), "{text}");
        }
        // X² + X + 1 is irreducible, but too small; the others are zero, one, and of degrees 52 and 54.
        for text in ["7", "0", "1", "10000000000001", "40000000000001"] {
            assert!(refusal(text).ends_with("is not of degree 53"), "{text}");
        }
        // Without a constant term X divides; with an even number of terms X + 1 does.
        for text in ["25b468838dcb74", "20000000000001", "25b468838dcb77"] {
            assert!(refusal(text).ends_with("is reducible"), "{text}");
        }
    }

    #[test]
    fn products_are_reducible() {
        // Factors of every degree from 2 to 26, with a constant term and an odd number of terms.
        for low in 2..=26 {
            let terms = |degree: u32| (1u64 << degree) | (1 << (degree / 2)) | 1;
            let value = product(terms(low), terms(DEGREE - low)) as u64;
            assert_eq!(degree(value.into()), Some(DEGREE));
            assert!(!is_irreducible(value), "{value:x}");
        }
    }

    #[test]
    fn random_polynomials_are_valid_and_differ() {
        let first = Polynomial::random().unwrap();
        let second = Polynomial::random().unwrap();
        assert_ne!(first, second);
        assert_eq!(first.to_string().parse::<Polynomial>().unwrap(), first);
    }

    #[test]
    fn remainders_are_those_of_long_division() {
        assert_eq!(remainder(7, 3), 1);
        assert_eq!(remainder(19, 4), 3);
        assert_eq!(remainder(2, 4), 2);
        assert_eq!(square(0b1011), 0b100_0101);
        assert_eq!(square(0b1011), product(0b1011, 0b1011));
    }
}
