//! Manifests, events and the lease of one environment, on a storage.
