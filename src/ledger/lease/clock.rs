//! The two clocks of a lease, behind a trait for tests.

use jiff::Timestamp;
use std::fmt::Debug;
use std::time::Duration;

/// What time it is.
pub trait Clock: Debug + Send + Sync {
    /// Returns the time of day, which others compare with theirs.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment; never goes back, and goes on while the machine sleeps.
    fn elapsed(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        // `Instant` stands still while a virtual machine is suspended; others' clocks do not.
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}
