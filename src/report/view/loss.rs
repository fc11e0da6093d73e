//! What data would be lost, and how long it takes.

use super::super::drilled::last;
use super::super::html::Page;
use super::super::units::{duration, time};
use super::{Fact, fact};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Loss {
    headline: String,
    detail: Option<String>,
}

/// Says what is lost by a restore.
pub(super) fn loss(page: &Page<'_>) -> Loss {
    let objective = |seconds: f64| match page.manifest.objectives.rpo {
        Some(rpo) if seconds > rpo as f64 => {
            format!(", more than the {} this environment allows", duration(rpo as f64))
        }
        Some(rpo) => format!(", within the {} this environment allows", duration(rpo as f64)),
        None => String::new(),
    };
    match page.manifest.rollback.data_loss_from {
        Some(from) => {
            let age = page.as_of.duration_since(from).as_secs_f64().max(0.0);
            Loss {
                headline: format!("Everything written after {}", time(from)),
                detail: Some(format!("As of this page that is {} of data{}.", duration(age), objective(age))),
            }
        }
        None => Loss { headline: "Not known: no moment of capture was recorded".to_owned(), detail: None },
    }
}

/// Says how long things take, as far as it was measured.
pub(super) fn times(page: &Page<'_>) -> Vec<Fact> {
    let manifest = page.manifest;
    let measured = &manifest.measured;
    let estimate = match (measured.restore_seconds_estimate, manifest.objectives.rto) {
        (None, _) => "not known, nothing was read back".to_owned(),
        (Some(seconds), None) => {
            let by = if measured.last_drill.is_some() { "by the last drill" } else { "from the speed of reading back" };
            format!("about {}, estimated {by}", duration(seconds))
        }
        (Some(seconds), Some(rto)) => {
            let fits = if seconds > rto as f64 { "more than" } else { "within" };
            format!("about {}, {fits} the {} this environment allows", duration(seconds), duration(rto as f64))
        }
    };
    let drill = match last(page.events) {
        Some((at, drill)) => format!("{} on {} ({})", duration(drill.seconds), time(at), drill.result.as_str()),
        None => "this release was never drilled".to_owned(),
    };
    vec![
        fact("Restore of the data", estimate),
        fact("Last measured in a drill", drill),
        fact("Capture", duration(measured.capture_seconds)),
        fact("Reading back", duration(measured.verify_seconds)),
    ]
}
