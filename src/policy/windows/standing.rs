//! Whether an environment is open at a moment, until when, and when it opens next.

use super::span::When;
use crate::config::{Blackout, Calendar, Window};
use jiff::Timestamp;
use std::time::Duration;

/// How many windows and blackouts are followed one after another, before it counts as known that nothing opens, or closes.
const FOLLOWED: usize = 1_000;

/// How an environment stands at one moment.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'c> {
    /// May be deployed into.
    Open {
        /// The window that is open, if there are windows.
        window: Option<&'c Window>,
        /// When it ends; `None` if it does not.
        closes: Option<Closing<'c>>,
    },
    /// There are windows, and none is open.
    Outside,
    /// A blackout is on.
    Blackout {
        /// Which one.
        blackout: &'c Blackout,
        /// When it is over.
        ends: Timestamp,
    },
}

/// The end of the time in which may be deployed.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'c> {
    /// When.
    pub at: Timestamp,
    /// The blackout that begins then; `None` if the window ends.
    pub by: Option<&'c Blackout>,
}

/// The beginning of the time in which may be deployed.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'c> {
    /// When.
    pub at: Timestamp,
    /// The window that is open then, if there are windows.
    pub window: Option<&'c Window>,
}

/// Says how the environment stands at `now`.
pub fn standing(calendar: &Calendar, now: Timestamp) -> Standing<'_> {
    if let Some((blackout, ends)) = blackout(calendar, now) {
        return Standing::Blackout { blackout, ends };
    }
    let window = window(calendar, now).map(|(window, _)| window);
    if window.is_none() && !calendar.windows.is_empty() {
        return Standing::Outside;
    }
    Standing::Open { window, closes: closes(calendar, now) }
}

/// Returns the first moment from `after` on at which may be deployed; `None` if there is none.
pub fn next_opening(calendar: &Calendar, after: Timestamp) -> Option<Opening<'_>> {
    let mut at = after;
    for _ in 0..FOLLOWED {
        if let Some((_, ends)) = blackout(calendar, at) {
            at = ends;
        } else if calendar.windows.is_empty() {
            return Some(Opening { at, window: None });
        } else if let Some((window, _)) = window(calendar, at) {
            return Some(Opening { at, window: Some(window) });
        } else {
            let starts = calendar.windows.iter().filter_map(|window| of(window).next_start(&calendar.zone, at));
            at = starts.min()?;
        }
    }
    None
}

/// Returns the first opening from `after` on that stays open for as long as `needed`; `None` if there is none.
pub fn next_fitting(calendar: &Calendar, after: Timestamp, needed: Duration) -> Option<Opening<'_>> {
    let mut at = after;
    for _ in 0..FOLLOWED {
        let opening = next_opening(calendar, at)?;
        let Some(closing) = closes(calendar, opening.at) else { return Some(opening) };
        if fits(opening.at, needed, closing.at) {
            return Some(opening);
        }
        at = closing.at;
    }
    None
}

/// Says whether what takes as long as `needed` is done by `until`.
pub fn fits(from: Timestamp, needed: Duration, until: Timestamp) -> bool {
    until.duration_since(from).unsigned_abs() >= needed
}

/// Returns when it closes, having been open at `at`.
fn closes(calendar: &Calendar, at: Timestamp) -> Option<Closing<'_>> {
    let begin = |blackout: &Blackout| When::Closed(&blackout.when).next_start(&calendar.zone, at);
    let begins = calendar.blackouts.iter().filter_map(|blackout: &Blackout| Some((begin(blackout)?, blackout)));
    let blackout = begins.min_by_key(|(start, _)| *start);
    let window = window_closes(calendar, at, blackout.map(|(start, _)| start));
    match (window, blackout) {
        (Some(window), Some((start, blackout))) if start < window => Some(Closing { at: start, by: Some(blackout) }),
        (Some(at), _) => Some(Closing { at, by: None }),
        (None, blackout) => blackout.map(|(at, blackout)| Closing { at, by: Some(blackout) }),
    }
}

/// Returns when the windows that follow on each other without a gap end; whatever is after `until` is not looked for.
fn window_closes(calendar: &Calendar, at: Timestamp, until: Option<Timestamp>) -> Option<Timestamp> {
    let (_, mut end) = window(calendar, at)?;
    for _ in 0..FOLLOWED {
        if until.is_some_and(|until| until < end) {
            break;
        }
        match window(calendar, end) {
            Some((_, later)) => end = later,
            None => return Some(end),
        }
    }
    // Open for so long that it does not close: what was followed counts, which is less.
    Some(end)
}

fn window(calendar: &Calendar, at: Timestamp) -> Option<(&Window, Timestamp)> {
    let open = |window| of(window).covering(&calendar.zone, at);
    let open = calendar.windows.iter().filter_map(|window| Some((window, open(window)?.end)));
    open.max_by_key(|(_, end)| *end)
}

fn blackout(calendar: &Calendar, at: Timestamp) -> Option<(&Blackout, Timestamp)> {
    let on = |blackout: &Blackout| When::Closed(&blackout.when).covering(&calendar.zone, at);
    let on = calendar.blackouts.iter().filter_map(|blackout| Some((blackout, on(blackout)?.end)));
    on.max_by_key(|(_, end)| *end)
}

fn of(window: &Window) -> When<'_> {
    When::Open(&window.when)
}
