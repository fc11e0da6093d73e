//! Child processes: own process groups, scrubbed environment, no shell, cancelled as one.
