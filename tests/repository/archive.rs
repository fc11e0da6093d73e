//! What we archive, restic checks and restores; and what happens when a source or a store misbehaves.

use crate::support::sample::{LINK_TO_BYTES, build, is_root, noise};
use crate::support::shared::{PASSWORD, Restic};
use crate::support::storage::Watched;
use crate::support::tree;
use holdpoint::cancel::{Cancel, Reason};
use holdpoint::error::{Error, ErrorCode, Result};
use holdpoint::model::exclude::Exclude;
use holdpoint::model::progress::Progress;
use holdpoint::repository::archive::{
    Archived, IssueKind, PackWriter, StoredPacks, TreeRequest, adopt_orphans, archive_streams, archive_tree,
};
use holdpoint::repository::{FileType, Id, Repository, Snapshot, ls};
use rustix::fs::{CWD, FileType as Kind, Mode, OFlags};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tempfile::TempDir;

/// A repository of restic, and a place for what goes into it.
struct Lab {
    folder: TempDir,
    restic: Restic,
    cancel: Cancel,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let restic = Restic::at(folder.path().join("repository")).init();
        Self { folder, restic, cancel: Cancel::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a directory with a few files.
    fn folder(&self, name: &str, files: &[&str]) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        for file in files {
            fs::write(folder.join(file), noise(1000, 7)).unwrap();
        }
        folder
    }

    /// Opens the repository through a storage whose every access `watch` sees, and may make fail.
    fn watched(&self, watch: impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static) -> Repository {
        Repository::open(Arc::new(Watched::new(&self.path("repository"), watch)), PASSWORD).unwrap()
    }

    fn writer(&self, repository: &Repository) -> PackWriter {
        PackWriter::start(Arc::new(repository.index(&self.cancel).unwrap()), None, self.cancel.clone()).unwrap()
    }

    fn archive_with(&self, repository: &Repository, request: &TreeRequest) -> Result<(Archived, StoredPacks)> {
        let writer = self.writer(repository);
        let archived = archive_tree(&writer, request, &Progress::new(), &self.cancel)?;
        Ok((archived, writer.finish()?))
    }

    /// Archives directories and makes a snapshot of them.
    fn archive(&self, roots: &[&Path], parent: Option<Id>) -> Archived {
        let request = TreeRequest { roots: roots.iter().map(PathBuf::from).collect(), parent, ..Default::default() };
        let (archived, _) = self.archive_with(&self.restic.open(), &request).unwrap();
        self.publish(&archived);
        archived
    }

    fn publish(&self, archived: &Archived) -> Id {
        let json = serde_json::json!({"time": jiff::Timestamp::now(), "tree": archived.tree, "paths": ["/"]});
        let snapshot: Snapshot = serde_json::from_value(json).unwrap();
        self.restic.open().save_json(FileType::Snapshot, &snapshot).unwrap()
    }

    fn stream(&self, writer: &PackWriter, mut stream: impl Read + Send) -> Result<Archived> {
        archive_streams(writer, &Progress::new(), &self.cancel, |store| store(OsStr::new("dump"), &mut stream))
    }

    /// Has restic check every byte.
    fn check(&self) {
        self.restic.run(&["check", "--read-data"]);
    }

    /// Has restic restore the newest snapshot; returns where.
    fn restore(&self, name: &str) -> PathBuf {
        let target = self.path(name);
        self.restic.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
        target
    }

    /// Returns the tree of a directory; those above it depend on what else happens on this machine.
    fn subtree(&self, archived: &Archived, folder: &Path) -> Id {
        let indexed = self.restic.open().index(&self.cancel).unwrap();
        let ls::Found::Node(node) = ls::find(&indexed, archived.tree, folder).unwrap() else { panic!() };
        node.subtree.unwrap()
    }

    /// Returns the paths below `root` that a tree holds.
    fn listed(&self, tree: Id, root: &Path) -> Vec<String> {
        let indexed = self.restic.open().index(&self.cancel).unwrap();
        let mut paths = Vec::new();
        let mut visit = |path: &Path, _: &_| {
            if let Ok(path) = Path::new("/").join(path).strip_prefix(root) {
                paths.extend(path.to_str().filter(|path| !path.is_empty()).map(str::to_owned));
            }
            Ok(())
        };
        ls::list(&indexed, tree, Path::new(""), &self.cancel, &mut visit).unwrap();
        paths
    }
}

/// How many trees lie above a directory, and its own: they change whenever something else on this machine does.
fn above(folder: &Path) -> u64 {
    folder.ancestors().count() as u64
}

fn below(folder: &Path, target: &Path) -> PathBuf {
    target.join(folder.strip_prefix("/").unwrap())
}

fn request(root: &Path) -> TreeRequest {
    TreeRequest { roots: vec![root.to_owned()], ..TreeRequest::default() }
}

fn issues(archived: &Archived) -> Vec<(IssueKind, &Path)> {
    assert_eq!(archived.issues_total, archived.issues.len() as u64);
    archived.issues.iter().map(|issue| (issue.kind, issue.path.as_path())).collect()
}

/// A stream that never ends, and hears what was read of it so far.
struct Endless<F>(u64, F);

impl<F: FnMut(u64)> Read for Endless<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.1)(self.0);
        buffer.copy_from_slice(&noise(buffer.len(), self.0));
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn restic_restores_what_we_archive() {
    let lab = Lab::new();
    let sample = lab.path("sample");
    build(&sample);
    // restic 0.14 cannot restore it.
    fs::remove_file(sample.join(LINK_TO_BYTES)).unwrap();
    let first = lab.archive(&[&sample], None);
    assert_eq!(issues(&first), []);
    lab.check();
    tree::assert_same(&sample, &below(&sample, &lab.restore("first")));

    let same = lab.archive(&[&sample], Some(first.tree));
    assert_eq!(lab.subtree(&same, &sample), lab.subtree(&first, &sample));
    assert_eq!((same.files, same.dirs, same.bytes, same.items), (first.files, first.dirs, first.bytes, first.items));
    assert_eq!((same.files_read, same.files_unmodified, same.data_blobs), (0, first.files, 0));
    assert!(same.tree_blobs < above(&sample));

    fs::write(sample.join("folder/7"), "other").unwrap();
    fs::write(sample.join("deep/new"), "new").unwrap();
    fs::remove_file(sample.join("folder/8")).unwrap();
    fs::remove_dir_all(sample.join("folder/in a folder")).unwrap();
    fs::set_permissions(sample.join("folder/9"), fs::Permissions::from_mode(0o640)).unwrap();
    let changed = lab.archive(&[&sample], Some(first.tree));
    assert_eq!((changed.files_read, changed.data_blobs), (3, 2));
    lab.check();
    tree::assert_same(&sample, &below(&sample, &lab.restore("changed")));
    // Without a parent everything is read, and the same tree comes out.
    assert_eq!(lab.subtree(&lab.archive(&[&sample], None), &sample), lab.subtree(&changed, &sample));
}

#[test]
fn content_that_restic_stored_is_not_stored_again_nor_the_other_way() {
    let lab = Lab::new();
    let sample = lab.path("sample");
    build(&sample);
    lab.restic.run(&["backup", sample.to_str().unwrap()]);
    let known = lab.restic.open().snapshots().unwrap()[0].1.tree;
    let read = lab.archive(&[&sample], None);
    assert_eq!((read.files_read, read.data_blobs), (read.files, 0));
    let kept = lab.archive(&[&sample], Some(known));
    assert_eq!((kept.files_read, kept.data_blobs), (0, 0));
    assert!(kept.tree_blobs < above(&sample));

    let ours = lab.publish(&read).to_string();
    let report = lab.restic.command(&["backup", "--json", "--parent", &ours]).arg(&sample).output().unwrap();
    let report = String::from_utf8(report.stdout).unwrap();
    let summary: serde_json::Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&summary["files_new"], &summary["files_changed"], &summary["data_blobs"]),
        (&0.into(), &0.into(), &0.into())
    );
    lab.check();
}

#[test]
fn a_stream_is_stored_as_one_file() {
    let lab = Lab::new();
    let mut data = noise(20 << 20, 3);
    data.extend("a line that repeats\n".repeat(500_000).bytes());
    let writer = lab.writer(&lab.restic.open());
    let archived = lab.stream(&writer, data.as_slice()).unwrap();
    let stored = writer.finish().unwrap();
    assert_eq!((archived.bytes, archived.files, archived.items), (data.len() as u64, 1, 1));
    assert!(archived.bytes_stored < stored.bytes && stored.bytes < 21 << 20);
    lab.publish(&archived);
    lab.check();
    let dumped = lab.restic.command(&["dump", "latest", "/dump"]).output().unwrap().stdout;
    assert!(dumped == data);
    let writer = lab.writer(&lab.restic.open());
    let empty = lab.stream(&writer, io::empty()).unwrap();
    writer.finish().unwrap();
    assert_eq!((empty.bytes, empty.data_blobs, empty.tree_blobs), (0, 0, 1));
}

#[test]
fn sources_side_by_side_share_their_blobs() {
    let lab = Lab::new();
    let sample = lab.path("sample");
    build(&sample);
    let writer = lab.writer(&lab.restic.open());
    let large = fs::read(sample.join("large")).unwrap();
    let archived = std::thread::scope(|scope| {
        let tree = || archive_tree(&writer, &request(&sample), &Progress::new(), &lab.cancel).unwrap();
        let stream = || lab.stream(&writer, large.as_slice()).unwrap();
        let (one, two, three) = (scope.spawn(tree), scope.spawn(tree), scope.spawn(stream));
        [one.join().unwrap(), two.join().unwrap(), three.join().unwrap()]
    });
    writer.finish().unwrap();
    assert_eq!(lab.subtree(&archived[0], &sample), lab.subtree(&archived[1], &sample));
    for archived in &archived {
        lab.publish(archived);
    }
    let again = lab.archive(&[&sample], None);
    assert!(again.data_blobs == 0 && again.tree_blobs < above(&sample));
    let blobs: u64 = archived.iter().map(|archived| archived.data_blobs).sum();
    let indexed = lab.restic.open().index(&lab.cancel).unwrap();
    assert_eq!(blobs, indexed.with_index(|index| index.len(holdpoint::repository::pack::BlobType::Data)) as u64);
    lab.check();
}

#[test]
fn roots_are_stored_under_their_full_paths() {
    let lab = Lab::new();
    let folder = lab.folder("roots/a", &["file", "other"]);
    lab.folder("roots/b/c", &["inside"]);
    lab.folder("roots/not", &["archived"]);
    let roots = lab.path("roots");
    symlink("b", roots.join("link")).unwrap();
    symlink("b", roots.join("on the way")).unwrap();
    let paths = ["a/file", "b", "b/c", "link", "on the way/c"].map(|path| roots.join(path));
    let archived = lab.archive(&paths.each_ref().map(PathBuf::as_path), None);
    let listed = lab.listed(archived.tree, &roots);
    assert_eq!(
        listed,
        ["a", "a/file", "b", "b/c", "b/c/inside", "link", "on the way", "on the way/c", "on the way/c/inside"]
    );
    lab.check();
    let restored = below(&roots, &lab.restore("restored"));
    assert_eq!(fs::read_link(restored.join("link")).unwrap(), Path::new("b"));
    assert!(restored.join("on the way").symlink_metadata().unwrap().is_dir());

    let repository = lab.restic.open();
    let code = |root: &Path| lab.archive_with(&repository, &request(root)).unwrap_err().code();
    assert_eq!(code(&roots.join("missing")), ErrorCode::NotFound);
    assert_eq!(code(&roots.join("a/file/below")), ErrorCode::NotFound);
    assert_eq!(code(Path::new("relative")), ErrorCode::Usage);
    assert_eq!(code(&folder.join("../b")), ErrorCode::Usage);
    assert_eq!(lab.archive_with(&repository, &TreeRequest::default()).unwrap_err().code(), ErrorCode::Usage);
    // A socket that was named is no success.
    let socket = roots.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(issues(&lab.archive(&[&socket], None)), [(IssueKind::Unreadable, socket.as_path())]);
    assert_eq!(issues(&lab.archive(&[&roots], None)), []);
}

#[test]
fn what_is_left_out_is_not_stored_and_nothing_else() {
    let lab = Lab::new();
    let root = lab.folder("root", &["kept", "a.log"]);
    for cache in ["cache", "cached root"] {
        let cache = lab.folder(&format!("root/{cache}"), &["content"]);
        fs::write(cache.join("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
    }
    let exclude = Exclude { globs: vec!["*.log".to_owned()], caches: true, ..Exclude::default() };
    let listed = |roots: &[&Path]| {
        let roots = roots.iter().map(PathBuf::from).collect();
        let request = TreeRequest { roots, exclude: exclude.clone(), parent: None };
        let (archived, _) = lab.archive_with(&lab.restic.open(), &request).unwrap();
        let again = TreeRequest { parent: Some(archived.tree), ..request };
        let (again, _) = lab.archive_with(&lab.restic.open(), &again).unwrap();
        assert_eq!(again.files_read, 0);
        assert_eq!(lab.listed(again.tree, &root), lab.listed(archived.tree, &root));
        lab.listed(archived.tree, &root)
    };
    let expected = ["cache", "cache/CACHEDIR.TAG", "cached root", "cached root/CACHEDIR.TAG", "kept"];
    assert_eq!(listed(&[&root]), expected);
    assert_eq!(
        listed(&[&root.join("cached root"), &root.join("a.log")]),
        ["a.log", "cached root", "cached root/CACHEDIR.TAG"]
    );
}

#[test]
fn a_tree_deeper_than_any_path_is_stored() {
    let lab = Lab::new();
    let root = lab.folder("root", &[]);
    let name = "d".repeat(50);
    let open = |at: &dyn Fn(OFlags) -> rustix::io::Result<_>| at(OFlags::DIRECTORY | OFlags::CLOEXEC).unwrap();
    let mut fd = open(&|flags| rustix::fs::openat(CWD, &root, flags, Mode::empty()));
    for _ in 0..150 {
        rustix::fs::mkdirat(&fd, &name, Mode::RWXU).unwrap();
        fd = open(&|flags| rustix::fs::openat(&fd, &name, flags, Mode::empty()));
    }
    let file = rustix::fs::openat(&fd, "bottom", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    rustix::io::write(&file, b"7,500 characters down").unwrap();
    drop(file);
    let first = lab.archive(&[&root], None);
    assert_eq!(issues(&first), []);
    assert_eq!((first.dirs, first.files, first.bytes), (151, 1, 21));
    let again = lab.archive(&[&root], Some(first.tree));
    assert_eq!((again.files_read, lab.subtree(&again, &root)), (0, lab.subtree(&first, &root)));
    lab.check();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_reported() {
    let lab = Lab::new();
    let folder = lab.folder("folder", &[]);
    let path = folder.join("growing");
    fs::write(&path, noise(4 << 20, 1)).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            while !stop.load(Relaxed) {
                file.write_all(b"more").unwrap();
            }
        });
        // A busy machine may not let the writer run while we read.
        let reported = (0..100).map(|_| lab.archive(&[&folder], None)).find(|archived| archived.issues_total > 0);
        stop.store(true, Relaxed);
        assert_eq!(issues(&reported.unwrap()), [(IssueKind::Changed, path.as_path())]);
    });
    lab.check();
    // This file says that it is empty, and is not.
    let version = Path::new("/proc/version");
    let archived = lab.archive(&[version], None);
    assert_eq!(issues(&archived), [(IssueKind::Changed, version)]);
}

#[test]
fn a_file_that_cannot_be_read_is_reported_and_the_rest_is_stored() {
    let lab = Lab::new();
    let folder = lab.folder("folder", &["fine"]);
    // Its first page is not mapped: an input/output error.
    let broken = Path::new("/proc/self/mem");
    let archived = lab.archive(&[&folder, broken], None);
    assert_eq!(issues(&archived), [(IssueKind::Unreadable, broken)]);
    assert_eq!(lab.listed(archived.tree, &folder), ["fine"]);
    lab.check();
}

#[test]
fn what_another_user_may_not_read_is_reported() {
    if !is_root() {
        return eprintln!("not root: cannot become another user");
    }
    let lab = Lab::new();
    let root = lab.folder("root", &["fine", "secret"]);
    lab.folder("root/closed", &["inside"]);
    lab.folder("on the way/open", &["fine"]);
    let mode = |path: &str, mode| fs::set_permissions(lab.path(path), fs::Permissions::from_mode(mode)).unwrap();
    mode("", 0o711);
    mode("root/secret", 0o600);
    mode("root/closed", 0o700);
    mode("on the way", 0o711);
    let writer = lab.writer(&lab.restic.open());
    let roots = vec![root.clone(), lab.path("on the way/open")];
    let archived = std::thread::scope(|scope| {
        let archive = || {
            // For this thread and those that it starts.
            nix::unistd::setfsuid(65534.into());
            archive_tree(&writer, &TreeRequest { roots, ..Default::default() }, &Progress::new(), &lab.cancel)
        };
        scope.spawn(archive).join().unwrap().unwrap()
    });
    writer.finish().unwrap();
    let mut found = issues(&archived);
    found.sort_by_key(|(_, path)| path.to_owned());
    let (closed, secret) = (root.join("closed"), root.join("secret"));
    assert_eq!(found, [(IssueKind::Unreadable, closed.as_path()), (IssueKind::Unreadable, secret.as_path())]);
    assert_eq!(lab.listed(archived.tree, &root), ["closed", "fine"]);
    assert_eq!(lab.listed(archived.tree, &lab.path("on the way")), ["open", "open/fine"]);
}

#[test]
fn what_vanishes_after_it_was_listed_is_reported() {
    let lab = Lab::new();
    let folder = lab.folder("folder", &["gone", "kept"]);
    lab.archive(&[&folder], None);
    let packs: Vec<String> = lab.restic.open().pack_sizes().unwrap().keys().map(|id| FileType::Pack.key(id)).collect();
    // Of these packs only the folder's own tree is read now: after its listing, before its entries are looked at.
    let parent = Some(lab.archive(&[&folder, &lab.folder("other", &[])], None).tree);
    let gone = folder.join("gone");
    let remove = gone.clone();
    let repository = lab.watched(move |verb, key| {
        if verb == "read" && packs.iter().any(|pack| pack == key) {
            fs::remove_file(&remove).unwrap();
        }
        Ok(())
    });
    let (archived, _) = lab.archive_with(&repository, &TreeRequest { parent, ..request(&folder) }).unwrap();
    assert_eq!(issues(&archived), [(IssueKind::Vanished, gone.as_path())]);
    assert_eq!(lab.listed(archived.tree, &folder), ["kept"]);
}

#[test]
fn a_pipe_is_stored_and_never_opened() {
    let lab = Lab::new();
    let folder = lab.folder("folder", &["fine"]);
    rustix::fs::mknodat(CWD, folder.join("pipe"), Kind::Fifo, Mode::RUSR, 0).unwrap();
    let archived = lab.archive(&[&folder, &folder.join("pipe")], None);
    assert_eq!(lab.listed(archived.tree, &folder), ["fine", "pipe"]);
}

#[test]
fn a_cancelled_run_ends_and_leaves_a_sound_repository() {
    let lab = Lab::new();
    let writer = lab.writer(&lab.restic.open());
    let stop = |read| {
        if read > 100 << 20 {
            lab.cancel.cancel(Reason::Interrupt);
        }
    };
    let error = lab.stream(&writer, Endless(1, stop)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Interrupted);
    drop(writer);
    lab.check();
    let indexed = lab.restic.open().index(&Cancel::new()).unwrap();
    assert!(indexed.with_index(|index| index.packs().count()) > 0);

    // A stream that stands almost still is left too.
    struct Drip<'c>(&'c Cancel, u32);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 == 1000 {
                self.0.cancel(Reason::Deadline);
            }
            Ok(buffer.len().min(1))
        }
    }
    let lab = Lab { cancel: Cancel::new(), ..lab };
    let writer = lab.writer(&lab.restic.open());
    let error = lab.stream(&writer, Drip(&lab.cancel, 0)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlinePassed);
    assert_eq!(writer.finish().unwrap_err().code(), ErrorCode::DeadlinePassed);
}

#[test]
fn a_cancelled_tree_ends() {
    let lab = Lab::new();
    let folder = lab.folder("folder", &["small"]);
    fs::write(folder.join("large"), noise(60 << 20, 5)).unwrap();
    let cancel = lab.cancel.clone();
    let repository = lab.watched(move |verb, key| {
        if verb == "write" && key.starts_with("data/") {
            cancel.cancel(Reason::Terminate);
        }
        Ok(())
    });
    let error = lab.archive_with(&repository, &request(&folder)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Terminated);
    lab.check();
}

#[test]
fn what_a_killed_run_stored_is_not_stored_again() {
    let lab = Lab::new();
    let data = noise(40 << 20, 9);
    // As if it was killed before it wrote its index.
    let killed = lab.watched(|verb, key| match verb == "write" && key.starts_with("index/") {
        true => Err(Error::new(ErrorCode::StoreUnavailable, "killed")),
        false => Ok(()),
    });
    let writer = lab.writer(&killed);
    lab.stream(&writer, data.as_slice()).unwrap();
    assert_eq!(writer.finish().unwrap_err().code(), ErrorCode::StoreUnavailable);

    let repository = lab.restic.open();
    // A pack that was cut is left alone.
    let torn = lab.path("repository/data/00").join("00".repeat(32));
    fs::create_dir_all(torn.parent().unwrap()).unwrap();
    fs::write(&torn, noise(5000, 1)).unwrap();
    let indexed = Arc::new(repository.index(&lab.cancel).unwrap());
    let sizes = repository.pack_sizes().unwrap();
    let adopted = adopt_orphans(&indexed, &sizes, None, &lab.cancel).unwrap();
    assert_eq!(adopted.len(), sizes.len() - 1);
    fs::remove_file(&torn).unwrap();
    let writer = PackWriter::start(indexed, None, lab.cancel.clone()).unwrap();
    let archived = lab.stream(&writer, data.as_slice()).unwrap();
    assert_eq!((archived.data_blobs, archived.bytes), (0, 40 << 20));
    writer.finish().unwrap();
    lab.publish(&archived);
    lab.check();
    assert_eq!(adopt_orphans(&lab.restic.open().index(&lab.cancel).unwrap(), &sizes, None, &lab.cancel).unwrap(), []);
}

#[test]
fn a_full_store_fails_every_source_of_the_run() {
    let lab = Lab::new();
    let folder = lab.folder("folder", &["fine"]);
    let full = lab.watched(|verb, key| match verb == "write" && key.starts_with("data/") {
        true => Err(Error::new(ErrorCode::StoreFull, "no room")),
        false => Ok(()),
    });
    let writer = lab.writer(&full);
    let error = lab.stream(&writer, Endless(1, |_| {})).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFull);
    let error = archive_tree(&writer, &request(&folder), &Progress::new(), &lab.cancel).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFull);
    assert_eq!(writer.finish().unwrap_err().code(), ErrorCode::StoreFull);
    // One pack that cannot be written only at the end is no success either.
    let writer = lab.writer(&full);
    archive_tree(&writer, &request(&folder), &Progress::new(), &lab.cancel).unwrap();
    assert_eq!(writer.finish().unwrap_err().code(), ErrorCode::StoreFull);
    lab.check();
}

#[test]
fn a_stream_that_fails_or_panics_is_no_success() {
    struct Broken<F>(F);
    impl<F: FnMut() -> io::Error> Read for Broken<F> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err((self.0)())
        }
    }
    let lab = Lab::new();
    let writer = lab.writer(&lab.restic.open());
    let start = || io::Cursor::new(noise(9 << 20, 2));
    let code =
        |end: &(dyn Fn() -> io::Error + Sync)| lab.stream(&writer, start().chain(Broken(end))).unwrap_err().code();
    assert_eq!(code(&|| io::ErrorKind::BrokenPipe.into()), ErrorCode::CaptureFailed);
    // The code of the program's own reader stays.
    assert_eq!(code(&|| io::Error::other(Error::new(ErrorCode::ProcessFailed, "exited 1"))), ErrorCode::ProcessFailed);
    assert_eq!(lab.stream(&writer, start()).unwrap().bytes, 9 << 20);
    assert_eq!(code(&|| panic!("as intended")), ErrorCode::Internal);
    assert_eq!(writer.finish().unwrap_err().code(), ErrorCode::Internal);
    lab.check();
}

#[test]
fn a_parent_that_is_not_there_is_no_parent_and_a_damaged_one_is_an_error() {
    let lab = Lab::new();
    let folder = lab.folder("folder", &["file"]);
    let archived = lab.archive(&[&folder], Some(Id::of(b"nothing")));
    assert_eq!(archived.files_read, 1);
    let damaged = lab.watched(|verb, key| match verb == "read" && key.starts_with("data/") {
        true => Err(Error::new(ErrorCode::Damaged, "as if altered")),
        false => Ok(()),
    });
    let parent = Some(archived.tree);
    let error = lab.archive_with(&damaged, &TreeRequest { parent, ..request(&folder) }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Damaged);
}
