//! `[store]` and its copies: their keys, their types, and how they are read.

use super::keys::{Form, Key, Section, key, required};
use super::types::Text;
use super::walk::{Table, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The shortest time for which objects are locked: a clock that is off by less must not matter.
const SHORTEST_LOCK: Duration = Duration::from_secs(60);

/// Storage classes that have to be thawed, for hours, before anything can be read.
const COLD_CLASSES: &[&str] = &["GLACIER", "DEEP_ARCHIVE"];

/// What `[store]` and every copy have in common.
const PLACE: &[Key] = &[
    key("region", Form::Text, "the region of the bucket"),
    key("endpoint", Form::Text, "the S3 server; AWS's unless given"),
    key("path_style", Form::Boolean, "whether the bucket stands in the path and not in the host name"),
    key("allow_http", Form::Boolean, "whether a server on another machine may be spoken to without TLS"),
    key("ca_file", Form::Text, "certificates to trust beside the system's"),
    key("storage_class", Form::Text, "the storage class of packs of file content"),
    key("sse", Form::Choice(SSE), "how the server encrypts what it stores"),
    key("kms_key", Form::Text, "the key of sse = \"aws:kms\""),
    key("object_lock", Form::Table(&OBJECT_LOCK), "how objects are kept from being deleted"),
    key("allowed_regions", Form::List(&Form::Text, 1), "the regions that the bucket may be in"),
    key("connections", Form::Integer(1), "requests under way at once"),
    key("request_timeout", Form::Duration, "how long one request may take"),
];

const SSE: &[&str] = &["AES256", "aws:kms"];

pub(super) const STORE: Section = Section {
    name: "[store]",
    keys: &[
        &[key("location", Form::Text, "a directory, or s3://BUCKET/PREFIX")],
        PLACE,
        &[
            key("cache", Form::Table(&CACHE), "where index and trees of a remote store are kept at hand"),
            key("copies", Form::Map(&Form::Table(&COPY)), "second stores that get everything, too"),
        ],
    ],
    later: &[],
};

pub(super) const COPY: Section = Section {
    name: "[store.copies.NAME]",
    keys: &[
        &[
            required("location", Form::Text, "a directory, or s3://BUCKET/PREFIX, in another failure domain"),
            key("required", Form::Boolean, "whether its failure refuses"),
        ],
        PLACE,
    ],
    later: &[],
};

pub(super) const OBJECT_LOCK: Section = Section {
    name: "object_lock",
    keys: &[&[
        required("mode", Form::Choice(&["governance", "compliance"]), "who may lift a lock"),
        required("retain", Form::Duration, "how long a snapshot that passed cannot be deleted"),
    ]],
    later: &[],
};

pub(super) const CACHE: Section = Section {
    name: "cache",
    keys: &[&[
        key("directory", Form::Text, "where it is"),
        key("max_size", Form::Bytes, "how large it may grow; 0 for none"),
    ]],
    later: &[],
};

/// `[store]`.
#[derive(Debug, Clone, Default)]
pub struct StoreConfig {
    /// Where it is, if the file says so.
    pub location: Option<Text>,
    /// How its bucket is used, if it is one.
    pub bucket: BucketConfig,
    /// What is kept at hand of a remote store.
    pub cache: CacheConfig,
    /// Second stores, by name.
    pub copies: BTreeMap<String, CopyConfig>,
}

/// `[store.copies.NAME]`.
#[derive(Debug, Clone)]
pub struct CopyConfig {
    /// Where it is.
    pub location: Text,
    /// Whether its failure refuses; false unless the file says otherwise.
    pub required: bool,
    /// How its bucket is used, if it is one.
    pub bucket: BucketConfig,
}

/// How a bucket is used; what the file leaves out is `None`.
#[derive(Debug, Clone, Default)]
pub struct BucketConfig {
    /// Its region.
    pub region: Option<String>,
    /// The server.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path.
    pub path_style: Option<bool>,
    /// Whether a server on another machine may be spoken to without TLS.
    pub allow_http: bool,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The storage class of packs of file content.
    pub storage_class: Option<String>,
    /// How the server encrypts what it stores.
    pub sse: Option<Sse>,
    /// How objects are kept from being deleted.
    pub object_lock: Option<ObjectLockConfig>,
    /// The regions that it may be in; any if empty.
    pub allowed_regions: Vec<String>,
    /// Requests under way at once.
    pub connections: Option<u32>,
    /// How long one request may take.
    pub request_timeout: Option<Duration>,
}

/// `sse = "AES256"` or `sse = "aws:kms"` with `kms_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sse {
    /// Keys of the server.
    Aes256,
    /// This key of the KMS, or the account's default one.
    Kms(Option<String>),
}

/// `object_lock = { mode = "governance", retain = "90d" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLockConfig {
    /// Whether nobody may lift a lock; otherwise whoever has the right to.
    pub compliance: bool,
    /// How long a snapshot that passed cannot be deleted.
    pub retain: Duration,
}

/// `cache = { directory = "…", max_size = "1GiB" }`.
#[derive(Debug, Clone, Default)]
pub struct CacheConfig {
    /// Where it is, if the file says so.
    pub directory: Option<PathBuf>,
    /// How large it may grow in bytes, if the file says so; 0 for none.
    pub max_size: Option<u64>,
}

/// Reads `[store]`; `reads_back` says whether what a run adds is read back.
pub(super) fn store(value: &Value<'_>, reads_back: bool) -> StoreConfig {
    let Some(table) = value.table(&STORE) else { return StoreConfig::default() };
    let copies = table.get("copies").map(|value| value.map()).unwrap_or_default();
    StoreConfig {
        location: table.get("location").and_then(|value| value.text()),
        bucket: bucket(&table, reads_back),
        cache: table.get("cache").and_then(|value| value.table(&CACHE)).map(|table| cache(&table)).unwrap_or_default(),
        copies: copies.into_iter().filter_map(|(name, value)| Some((name.to_owned(), copy(&value)?))).collect(),
    }
}

fn copy(value: &Value<'_>) -> Option<CopyConfig> {
    let table = value.table(&COPY)?;
    let required = table.get("required").and_then(|value| value.boolean()).unwrap_or(false);
    // What is copied is always read back.
    let bucket = bucket(&table, true);
    Some(CopyConfig { location: table.get("location")?.text()?, required, bucket })
}

fn cache(table: &Table<'_>) -> CacheConfig {
    CacheConfig {
        directory: table.get("directory").and_then(|value| value.path()).map(|path| table.walk.directory.join(path)),
        max_size: table.get("max_size").and_then(|value| value.bytes()),
    }
}

fn bucket(table: &Table<'_>, reads_back: bool) -> BucketConfig {
    let text = |name| table.get(name).and_then(|value| value.string());
    let regions = table.get("allowed_regions").and_then(|value| value.full_list()).unwrap_or_default();
    BucketConfig {
        region: text("region"),
        endpoint: text("endpoint"),
        path_style: table.get("path_style").and_then(|value| value.boolean()),
        allow_http: table.get("allow_http").and_then(|value| value.boolean()).unwrap_or(false),
        ca_file: table.get("ca_file").and_then(|value| value.path()).map(|path| table.walk.directory.join(path)),
        storage_class: storage_class(table, reads_back),
        sse: sse(table),
        object_lock: table.get("object_lock").and_then(|value| object_lock(&value)),
        allowed_regions: regions.iter().filter_map(|value| value.string()).collect(),
        connections: table.get("connections").and_then(|value| value.integer(1, 256)),
        request_timeout: table.get("request_timeout").and_then(|value| value.some_duration()),
    }
}

/// Reads the storage class of packs; one that has to be thawed first cannot be read back in the same run.
fn storage_class(table: &Table<'_>, reads_back: bool) -> Option<String> {
    let value = table.get("storage_class")?;
    let class = value.string()?;
    if reads_back && COLD_CLASSES.contains(&class.as_str()) {
        let message = format!(
            "{class} cannot be read back at once, which every pass rests on: use STANDARD_IA or GLACIER_IR, or set verify = \
             \"none\" in [gate]"
        );
        value.mistake(message);
    }
    Some(class)
}

fn sse(table: &Table<'_>) -> Option<Sse> {
    let kinds = [("AES256", Sse::Aes256), ("aws:kms", Sse::Kms(None))];
    let words: Vec<_> = kinds.iter().map(|(word, kind)| (*word, kind)).collect();
    let kind = table.get("sse").and_then(|value| value.choice(&words)).cloned();
    let key = table.get("kms_key");
    match (kind, key.and_then(|value| value.string())) {
        (Some(Sse::Kms(_)), key) => Some(Sse::Kms(key)),
        (kind, None) => kind,
        (kind, Some(_)) => {
            if let Some(value) = key {
                value.mistake("`kms_key` belongs to sse = \"aws:kms\"");
            }
            kind
        }
    }
}

fn object_lock(value: &Value<'_>) -> Option<ObjectLockConfig> {
    let table = value.table(&OBJECT_LOCK)?;
    let modes = [("governance", false), ("compliance", true)];
    let compliance = table.get("mode").and_then(|value| value.choice(&modes));
    let retain = table.get("retain")?;
    let length = retain.some_duration()?;
    if length < SHORTEST_LOCK {
        retain.mistake("`retain` must be at least a minute");
        return None;
    }
    Some(ObjectLockConfig { compliance: compliance?, retain: length })
}
