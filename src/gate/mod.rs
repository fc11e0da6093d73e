//! The verbs: plan, capture, verify, judge, reconcile.
