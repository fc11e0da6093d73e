//! Text → raw → validated configuration (`holdpoint.toml`, design §5).
//!
//! The keys are data ([`keys`]): the walker rejects what is not among them, and the JSON Schema is made from them.
//! Every mistake is collected with its place in the file; none is shown alone while others wait.

mod audit;
mod calendar;
mod definition;
mod drills;
mod environments;
mod http;
mod keys;
mod load;
mod mistakes;
mod overrides;
mod policy;
mod requirements;
mod retention;
mod rollback;
mod schema;
mod servers;
mod sources;
mod stores;
mod template;
#[cfg(test)]
mod tests;
pub mod types;
mod values;
mod walk;
mod webhooks;
mod windows;

pub use audit::{AuditConfig, Syslog};
pub use calendar::{Annual, Blackout, Calendar, Closed, Open, Repeated, Window};
pub use http::{header_map, http_url};
pub use load::{FILE_NAME, load, parse};
pub use mistakes::{Mistake, Mistakes};
pub use overrides::OverrideConfig;
pub use policy::{PolicyConfig, PolicyRules, RaiseConfig, Scope, SeverityPolicy};
pub use requirements::Requirement;
pub use retention::{Floor, RetentionConfig};
pub use schema::schema;
pub use sources::is_root;
pub use stores::{BucketConfig, CacheConfig, CopyConfig, ObjectLockConfig, Sse, StoreConfig};
pub use template::{Found, FoundServer, template};
pub use types::*;
pub use webhooks::{WebhookConfig, WebhookEvent, WebhookFormat};
