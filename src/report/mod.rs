//! Verdict → readers: text, JSON, HTML, progress.
