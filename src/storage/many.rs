//! Many requests at once: where each one waits for a network, one after the other takes too long.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Calls `ask` for every item, at most `width` at once, and returns the answers in the order of the items.
///
/// # Errors
/// The failure of the first item, in their order, that was asked and failed; a cancellation; `internal` if `ask` panics.
pub fn ask_all<T: Sync, R: Send>(
    width: usize,
    items: &[T],
    cancel: &Cancel,
    ask: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut answers = Vec::new();
        loop {
            let place = next.fetch_add(1, Relaxed);
            let Some(item) = items.get(place).filter(|_| !failed.load(Relaxed)) else { return answers };
            let answer = cancel.check().and_then(|()| ask(item));
            failed.fetch_or(answer.is_err(), Relaxed);
            answers.push((place, answer));
        }
    };
    let mut answers = Vec::with_capacity(items.len());
    let mut panicked = false;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..width.min(items.len())).map(|_| scope.spawn(work)).collect();
        answers.extend(work());
        for thread in threads {
            match thread.join() {
                Ok(more) => answers.extend(more),
                Err(_) => panicked = true,
            }
        }
    });
    if panicked {
        return Err(Error::new(ErrorCode::Internal, "a thread that asks the store panicked"));
    }
    answers.sort_unstable_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Does two things at once; returns what both come to.
pub fn both<A: Send, B>(one: impl FnOnce() -> A + Send, two: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let two = two();
        // A panic goes on in the caller, as if there were no thread.
        (one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), two)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Reason;
    use std::sync::Barrier;

    #[test]
    fn answers_come_in_order_and_the_first_failure_counts() {
        let cancel = Cancel::new();
        let items: Vec<u32> = (0..100).collect();
        // Four must be under way at once, or none of them ends.
        let together = Barrier::new(4);
        let ask = |item: &u32| {
            together.wait();
            Ok(item * 2)
        };
        assert_eq!(ask_all(4, &items, &cancel, ask).unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let fail = |item: &u32| match item {
            7.. => Err(Error::new(ErrorCode::Damaged, format!("item {item}"))),
            item => Ok(*item),
        };
        assert_eq!(ask_all(3, &items, &cancel, fail).unwrap_err().message(), "item 7");
        assert!(ask_all(3, &[], &cancel, fail).unwrap().is_empty());
        cancel.cancel(Reason::Interrupt);
        assert_eq!(ask_all(3, &items, &cancel, |item| Ok(*item)).unwrap_err().code(), ErrorCode::Interrupted);
    }
}
