//! The integration tests: modules mirror `src/`.

#[cfg(test)]
mod docs;
