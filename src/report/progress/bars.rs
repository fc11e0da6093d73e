//! One bar for each running piece of work, on a terminal.

use super::{Screen, Work, end_line};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// With what was expected: how far, how fast, how long still.
const KNOWN: &str =
    "{prefix:24!} [{bar:24}] {binary_bytes:>10} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
/// Without: how much and how fast.
const UNKNOWN: &str = "{prefix:24!} {spinner} {binary_bytes:>10}, {binary_bytes_per_sec}, {elapsed}";

/// Bars in the order of the works.
pub(super) struct Bars {
    multi: MultiProgress,
    bars: Vec<ProgressBar>,
}

impl Bars {
    pub(super) fn new(target: ProgressDrawTarget) -> Self {
        Self { multi: MultiProgress::with_draw_target(target), bars: Vec::new() }
    }

    /// Prints a line above the bars; a terminal that has gone away is no reason to stop.
    fn line(&self, text: &str) {
        let _ = self.multi.println(text);
    }
}

impl Screen for Bars {
    fn started(&mut self, work: &Work) {
        let (bar, template) = match work.expected {
            Some(expected) => (ProgressBar::new(expected), KNOWN),
            None => (ProgressBar::no_length(), UNKNOWN),
        };
        let bar = self.multi.add(bar);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(work.name());
        self.bars.push(bar);
    }

    fn tick(&mut self, works: &[Work]) {
        for (bar, work) in self.bars.iter().zip(works) {
            let bytes = work.progress.bytes();
            if work.expected.is_some_and(|expected| bytes > expected) {
                bar.set_length(bytes);
            }
            bar.set_position(bytes);
            bar.tick();
        }
    }

    fn finished(&mut self, index: usize, work: &Work, outcome: &str) {
        if index < self.bars.len() {
            let bar = self.bars.remove(index);
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
        self.line(&end_line(work, outcome));
    }

    fn note(&mut self, text: &str) {
        self.line(text);
    }

    fn close(&mut self) {
        for bar in self.bars.drain(..) {
            bar.finish_and_clear();
        }
        let _ = self.multi.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Display;
    use super::*;
    use crate::model::progress::{Observer, Phase, Progress};
    use std::time::Duration;

    #[test]
    fn the_templates_are_good_and_a_drop_at_any_time_is_safe() {
        assert!(ProgressStyle::with_template(KNOWN).is_ok() && ProgressStyle::with_template(UNKNOWN).is_ok());
        let display = Display::start(Box::new(Bars::new(ProgressDrawTarget::hidden())), Duration::from_millis(1));
        let progress = Progress::new();
        display.started(Phase::Capture, "orders", &progress, Some(10));
        display.started(Phase::Capture, "uploads", &progress, None);
        progress.add_bytes(20);
        display.shared.lock().screen.note("x");
        display.finished(Phase::Capture, "orders", "captured");
        display.finished(Phase::Verify, "never started", "captured");
    }
}
