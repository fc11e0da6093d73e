//! Cleaning up after a try, with the patience that the run has left.

use super::{Context, Source};
use crate::error::Result;

/// How often a source may begin to clean up, as long as nobody ended the run.
const TRIES: u32 = 3;

/// Has a source clean up; once more if a server that is busy did not say in time, unless the run was cancelled: then somebody waits
/// for its end. Returns what had to be ended at last.
///
/// # Errors
/// Those of [`Source::clean_up`], of the last time.
pub fn clean_up(source: &dyn Source, context: &Context) -> Result<Vec<String>> {
    for _ in 1..TRIES {
        match source.clean_up(context) {
            Err(_) if !context.cancel.is_cancelled() => {}
            result => return result,
        }
    }
    source.clean_up(context)
}

#[cfg(test)]
mod tests {
    use super::super::{Capture, Facts, Stored, Target, sample};
    use super::*;
    use crate::cancel::Reason;
    use crate::error::{Error, ErrorCode};
    use crate::model::finding::Finding;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    /// A server that says nothing for the first times that it is asked.
    struct Busy {
        silent: u32,
        asked: AtomicU32,
    }

    impl Busy {
        fn for_times(silent: u32) -> Self {
            Self { silent, asked: AtomicU32::new(0) }
        }

        fn no() -> Error {
            Error::new(ErrorCode::CaptureFailed, "the server does not say")
        }
    }

    impl Source for Busy {
        fn facts(&self) -> Facts {
            unreachable!("nobody asks")
        }

        fn preflight(&self, _: &Context) -> Vec<Finding> {
            Vec::new()
        }

        fn capture(&self, _: &Context) -> Result<Capture> {
            Err(Self::no())
        }

        fn clean_up(&self, _: &Context) -> Result<Vec<String>> {
            if self.asked.fetch_add(1, SeqCst) < self.silent {
                Err(Self::no())
            } else {
                Ok(vec!["session 1".to_owned()])
            }
        }

        fn restore(&self, _: &Context, _: &dyn Stored, _: &Target, _: bool) -> Result<()> {
            Err(Self::no())
        }
    }

    #[test]
    fn a_server_that_is_busy_is_asked_again_until_somebody_waits_for_the_end() {
        let scratch = tempfile::tempdir().unwrap();
        let context = sample::context(scratch.path());
        let ask = |silent: u32| {
            let busy = Busy::for_times(silent);
            let answer = clean_up(&busy, &context).ok();
            (answer, busy.asked.into_inner())
        };
        let ended = || Some(vec!["session 1".to_owned()]);
        assert_eq!(ask(0), (ended(), 1));
        assert_eq!(ask(2), (ended(), 3));
        assert_eq!(ask(9), (None, 3));
        context.cancel.cancel(Reason::Interrupt);
        assert_eq!(ask(0), (ended(), 1));
        assert_eq!(ask(1), (None, 1));
    }
}
