//! Progress on standard error: bars on a terminal, plain lines on a pipe, nothing when it is not wanted.

mod bars;
mod lines;

use crate::model::progress::{Observer, Phase, Progress, Silent};
use indicatif::ProgressDrawTarget;
use std::io::IsTerminal;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Changes a line before it is printed, so that nothing reads it for more than text.
pub type Guard = fn(&str) -> String;

/// Returns the observer that fits standard error; a silent one unless progress is `wanted`. Lines on a pipe go through
/// `guard`.
///
/// Dropping it at any time removes unfinished bars from the terminal.
pub fn observer(wanted: bool, guard: Guard) -> Arc<dyn Observer> {
    let stderr = std::io::stderr();
    if !wanted {
        Arc::new(Silent)
    } else if stderr.is_terminal() {
        Arc::new(Display::start(Box::new(bars::Bars::new(ProgressDrawTarget::stderr())), Duration::from_millis(100)))
    } else {
        Arc::new(Display::start(Box::new(lines::Lines::new(Box::new(stderr), guard)), Duration::from_secs(10)))
    }
}

/// One piece of work that is shown.
#[derive(Debug)]
struct Work {
    phase: Phase,
    label: String,
    progress: Arc<Progress>,
    expected: Option<u64>,
    since: Instant,
}

impl Work {
    fn name(&self) -> String {
        format!("{} {}", verb(self.phase), self.label)
    }
}

/// A way to show work.
trait Screen: Send {
    /// Work was added at the end.
    fn started(&mut self, work: &Work);
    /// Time has passed; `works` are running.
    fn tick(&mut self, works: &[Work]);
    /// The work at `index` ended and is shown no more.
    fn finished(&mut self, index: usize, work: &Work, outcome: &str);
    /// A text to be read now.
    fn note(&mut self, text: &str);
    /// Nothing more will be shown.
    fn close(&mut self);
}

/// Shows work on a screen, at an even pace, from a thread of its own.
struct Display {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    closed: Condvar,
}

struct State {
    screen: Box<dyn Screen>,
    works: Vec<Work>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Progress must never be what breaks a run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Display {
    fn start(screen: Box<dyn Screen>, pace: Duration) -> Self {
        let state = State { screen, works: Vec::new(), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), closed: Condvar::new() });
        let ticking = Arc::clone(&shared);
        let tick = move || {
            let mut state = ticking.lock();
            loop {
                let waited = ticking.closed.wait_timeout_while(state, pace, |state| !state.closed);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                if state.closed {
                    return;
                }
                let State { screen, works, .. } = &mut *state;
                screen.tick(works);
            }
        };
        // Without the thread only starts and ends are shown.
        let ticker = std::thread::Builder::new().name("progress".to_owned()).spawn(tick).ok();
        Self { shared, ticker }
    }
}

impl Observer for Display {
    fn started(&self, phase: Phase, label: &str, progress: &Arc<Progress>, expected_bytes: Option<u64>) {
        let label = super::units::plain(label);
        let expected = expected_bytes.filter(|bytes| *bytes > 0);
        let work = Work { phase, label, progress: Arc::clone(progress), expected, since: Instant::now() };
        let mut state = self.shared.lock();
        state.screen.started(&work);
        state.works.push(work);
    }

    fn finished(&self, phase: Phase, label: &str, outcome: &str) {
        let label = super::units::plain(label);
        let mut state = self.shared.lock();
        if let Some(index) = state.works.iter().position(|work| work.phase == phase && work.label == label) {
            let work = state.works.remove(index);
            state.screen.finished(index, &work, &super::units::plain(outcome));
        }
    }

    fn note(&self, text: &str) {
        self.shared.lock().screen.note(&super::units::plain(text));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.closed = true;
            state.screen.close();
        }
        self.shared.closed.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // A panic over there was printed already, and nothing depends on the thread.
            let _ = ticker.join();
        }
    }
}

fn verb(phase: Phase) -> &'static str {
    match phase {
        Phase::Capture => "capture",
        Phase::Verify => "verify",
        Phase::Restore => "restore",
        Phase::Check => "check",
        Phase::Copy => "copy",
        Phase::Prune => "prune",
    }
}

/// Returns the line that says how a piece of work ended.
fn end_line(work: &Work, outcome: &str) -> String {
    use super::units::{bytes, duration};
    let took = duration(work.since.elapsed().as_secs_f64());
    format!("{}: {outcome}, {} in {took}", work.name(), bytes(work.progress.bytes()))
}
