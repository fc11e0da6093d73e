//! Words → request → room → exit code; the only user of clap.
