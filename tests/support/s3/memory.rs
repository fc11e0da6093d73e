//! Buckets in memory behind the trait of the `s3s` crate, which reads requests and checks signatures.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use s3s::dto::{
    CommonPrefix, CreateBucketInput, CreateBucketOutput, DeleteObjectInput, DeleteObjectOutput, ETag,
    GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
    PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

/// The largest page of a listing, as on AWS.
const PAGE: usize = 1000;
/// The largest object.
const LARGEST: usize = 1 << 30;

/// All buckets of one server; clones share them.
#[derive(Clone, Default)]
pub struct Memory {
    buckets: Arc<Mutex<HashMap<String, Bucket>>>,
    /// Whether `If-None-Match` means nothing to this server.
    ignores_conditions: bool,
}

type Bucket = BTreeMap<String, Stored>;

#[derive(Clone)]
struct Stored {
    data: Bytes,
    modified: SystemTime,
}

impl Stored {
    fn etag(&self) -> ETag {
        ETag::Strong(hex::encode(&Sha256::digest(&self.data)[..16]))
    }

    fn length(&self) -> i64 {
        i64::try_from(self.data.len()).unwrap()
    }
}

impl Memory {
    /// Creates a server to which `If-None-Match` means nothing.
    pub fn without_conditions() -> Self {
        Self { ignores_conditions: true, ..Self::default() }
    }

    /// Creates a bucket.
    pub fn add_bucket(&self, name: &str) {
        self.lock().insert(name.to_owned(), Bucket::new());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bucket>> {
        self.buckets.lock().unwrap()
    }

    /// Does something with a bucket while nobody else does.
    fn with<T>(&self, bucket: &str, act: impl FnOnce(&mut Bucket) -> S3Result<T>) -> S3Result<T> {
        act(self.lock().get_mut(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?)
    }

    fn find(&self, bucket: &str, key: &str) -> S3Result<Stored> {
        self.with(bucket, |objects| objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey)))
    }
}

/// Reads what is to be stored and checks both digests that a client may give of it.
async fn receive(body: Option<StreamingBlob>, checksum: Option<&str>) -> S3Result<Bytes> {
    let mut body = body.map(Body::from).unwrap_or_else(Body::empty);
    // It ends with an error where it is not what `x-amz-content-sha256` says.
    let data = body.store_all_limited(LARGEST).await.map_err(|error| s3_error!(BadDigest, "{error}"))?;
    let digest = STANDARD.encode(Sha256::digest(&data));
    match checksum {
        Some(checksum) if checksum != digest => Err(s3_error!(BadDigest, "the content is {digest}")),
        _ => Ok(data),
    }
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        self.add_bucket(&request.input.bucket);
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.with(&request.input.bucket, |_| Ok(()))?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.with(&request.input.bucket, |_| Ok(()))?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { bucket, key, body, checksum_sha256, if_none_match, .. } = request.input;
        let data = receive(body, checksum_sha256.as_deref()).await?;
        let must_be_new = !self.ignores_conditions && if_none_match.is_some_and(|condition| condition.is_any());
        let stored = Stored { data, modified: SystemTime::now() };
        let output = PutObjectOutput { e_tag: Some(stored.etag()), checksum_sha256, ..Default::default() };
        self.with(&bucket, |objects| {
            if must_be_new && objects.contains_key(&key) {
                return Err(s3_error!(PreconditionFailed));
            }
            objects.insert(key, stored);
            Ok(S3Response::new(output))
        })
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let stored = self.find(&input.bucket, &input.key)?;
        let mut output = GetObjectOutput {
            e_tag: Some(stored.etag()),
            last_modified: Some(Timestamp::from(stored.modified)),
            ..Default::default()
        };
        let length = stored.data.len() as u64;
        let data = match &input.range {
            None => stored.data,
            Some(range) => {
                let part = range.check(length)?;
                output.content_range = Some(format!("bytes {}-{}/{length}", part.start, part.end - 1));
                stored.data.slice(usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap())
            }
        };
        output.content_length = Some(i64::try_from(data.len()).unwrap());
        output.body = Some(StreamingBlob::from(Body::from(data)));
        Ok(S3Response::new(output))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let stored = self.find(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(stored.length()),
            e_tag: Some(stored.etag()),
            last_modified: Some(Timestamp::from(stored.modified)),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.with(&input.bucket, |objects| {
            objects.remove(&input.key);
            Ok(S3Response::new(DeleteObjectOutput::default()))
        })
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let page = self.with(&input.bucket, |objects| Ok(page(objects, &input)))?;
        Ok(S3Response::new(page))
    }
}

/// One page of a listing. Its token is the last name on it, in hexadecimal digits.
fn page(objects: &Bucket, input: &ListObjectsV2Input) -> ListObjectsV2Output {
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let most = input.max_keys.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).min(PAGE);
    let token =
        input.continuation_token.as_deref().map(|token| String::from_utf8(hex::decode(token).unwrap()).unwrap());
    // The names below a folder that was listed are part of it.
    let folder = token.clone().filter(|token| delimiter.is_some_and(|delimiter| token.ends_with(delimiter)));
    let after = token.or_else(|| input.start_after.clone()).unwrap_or_default();
    let mut output = ListObjectsV2Output {
        name: Some(input.bucket.clone()),
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        max_keys: Some(i32::try_from(most).unwrap()),
        is_truncated: Some(false),
        ..Default::default()
    };
    let (mut contents, mut folders, mut last) = (Vec::new(), Vec::<String>::new(), String::new());
    for (key, stored) in objects.range((Excluded(after), Unbounded)) {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        if folder.as_ref().is_some_and(|folder| key.starts_with(folder)) {
            continue;
        }
        let end = delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
        let name = &key[..end.map_or(key.len(), |end| prefix.len() + end)];
        if end.is_some() && folders.last().is_some_and(|folder| folder == name) {
            continue;
        }
        if contents.len() + folders.len() == most {
            output.is_truncated = Some(true);
            output.next_continuation_token = Some(hex::encode(&last));
            break;
        }
        last = name.to_owned();
        if end.is_some() {
            folders.push(name.to_owned());
        } else {
            contents.push(Object {
                key: Some(key.clone()),
                size: Some(stored.length()),
                e_tag: Some(stored.etag()),
                last_modified: Some(Timestamp::from(stored.modified)),
                ..Default::default()
            });
        }
    }
    output.key_count = i32::try_from(contents.len() + folders.len()).ok();
    output.contents = Some(contents);
    let folders = folders.into_iter().map(|name| CommonPrefix { prefix: Some(name) });
    output.common_prefixes = Some(folders.collect());
    output
}
