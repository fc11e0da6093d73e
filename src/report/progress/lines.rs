//! Plain lines for a pipe: one for each running piece of work at every tick, one when it ends.

use super::super::units::{bytes, duration};
use super::{Guard, Screen, Work, end_line};
use std::io::Write;

/// Writes lines, each in one call so that lines of several writers do not mix.
pub(super) struct Lines {
    out: Box<dyn Write + Send>,
    guard: Guard,
}

impl Lines {
    pub(super) fn new(out: Box<dyn Write + Send>, guard: Guard) -> Self {
        Self { out, guard }
    }

    /// A reader that has gone away is no reason to stop.
    fn line(&mut self, text: &str) {
        let _ = self.out.write_all(format!("{}\n", (self.guard)(text)).as_bytes());
    }
}

impl Screen for Lines {
    fn started(&mut self, _: &Work) {}

    fn tick(&mut self, works: &[Work]) {
        for work in works {
            let text = running_line(work, work.since.elapsed().as_secs_f64());
            self.line(&text);
        }
    }

    fn finished(&mut self, _: usize, work: &Work, outcome: &str) {
        self.line(&end_line(work, outcome));
    }

    fn note(&mut self, text: &str) {
        self.line(text);
    }

    fn close(&mut self) {}
}

/// Says how far the work is after `seconds`, how fast it goes, and how long it may still take.
fn running_line(work: &Work, seconds: f64) -> String {
    let done = work.progress.bytes();
    let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    let mut text = format!("{}: {}", work.name(), bytes(done));
    match work.expected {
        // The size of last time says nothing more once it is passed.
        Some(expected) if done < expected => {
            text += &format!(" of about {}, {}/s", bytes(expected), bytes(rate as u64))
        }
        _ => text += &format!(", {}/s", bytes(rate as u64)),
    }
    if let Some(left) = work.expected.and_then(|expected| expected.checked_sub(done)).filter(|left| *left > 0)
        && rate >= 1.0
    {
        text += &format!(", about {} left", duration(left as f64 / rate));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Display;
    use super::*;
    use crate::model::progress::{Observer, Phase, Progress};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_running_work_tells_bytes_rate_and_time_left() {
        let line = |done, expected, seconds| {
            let progress = Progress::new();
            progress.add_bytes(done);
            let work = Work { phase: Phase::Verify, label: "orders".into(), progress, expected, since: Instant::now() };
            running_line(&work, seconds)
        };
        let mib = 1 << 20;
        assert_eq!(
            line(100 * mib, Some(300 * mib), 10.0),
            "verify orders: 100.0 MiB of about 300.0 MiB, 10.0 MiB/s, about 20 s left"
        );
        assert_eq!(line(400 * mib, Some(300 * mib), 10.0), "verify orders: 400.0 MiB, 40.0 MiB/s");
        assert_eq!(line(mib, None, 2.0), "verify orders: 1.0 MiB, 512.0 KiB/s");
        assert_eq!(line(0, Some(5), 0.0), "verify orders: 0 B of about 5 B, 0 B/s");
    }

    #[test]
    fn ends_and_notes_are_lines_and_names_cannot_add_any() {
        let sink = Sink::default();
        let display =
            Display::start(Box::new(Lines::new(Box::new(sink.clone()), str::to_uppercase)), Duration::from_secs(3600));
        let progress = Progress::new();
        display.started(Phase::Capture, "a\nb", &progress, None);
        progress.add_bytes(10);
        display.note("waiting for a lock");
        display.finished(Phase::Capture, "a\nb", "captured");
        drop(display);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0], "WAITING FOR A LOCK", "every line is guarded");
        assert!(lines[1].starts_with("CAPTURE A\\NB: CAPTURED, 10 B IN "), "{}", lines[1]);
    }
}
