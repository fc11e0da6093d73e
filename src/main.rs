//! The holdpoint binary: parse → run → render → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(holdpoint::cli::main().number())
}
