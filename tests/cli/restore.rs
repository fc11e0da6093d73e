//! `restore` to standard output, and whose manifests it believes.

use crate::support::environment::must;
use crate::support::holdpoint::Holdpoint;
use crate::support::ledger::release_folder;
use crate::support::shared::{self, Restic};
use crate::support::shop::Shop;
use crate::support::signing::Keys;
use crate::support::{sample, tree};
use holdpoint::repository::restore::MARKER;
use rusqlite::Connection;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Restores to standard output; returns the exit code, what came, and what was said.
fn pour(holdpoint: &Holdpoint, arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let all = [&["restore"], arguments, &["--target", "-"]].concat();
    let output = holdpoint.command(all).output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

/// Unpacks an archive by GNU tar, with all that it holds; returns what tar said.
fn unpack(archive: &[u8], target: &Path) -> String {
    fs::create_dir(target).unwrap();
    let file = target.with_extension("tar");
    fs::write(&file, archive).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--preserve-permissions", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--file"]);
    let output = tar.arg(file).arg("--directory").arg(target).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_tree_comes_as_an_archive_that_tar_unpacks_to_the_same() {
    let shop = Shop::with(|holdpoint| holdpoint.env("HOLDPOINT_PASSWORD", shared::PASSWORD));
    let uploads = shop.path().join("uploads");
    sample::build(&uploads);
    // What `ustar` has no room for.
    let long = format!("{}/{}", "directory ".repeat(12).trim(), "näme".repeat(40));
    shop.write(&format!("uploads/{long}"), "deep");
    fs::hard_link(uploads.join(&long), uploads.join("directory again")).unwrap();
    std::os::unix::fs::symlink(&long, uploads.join("link to long")).unwrap();
    let bytes = std::ffi::OsStr::from_bytes(&[0xff; 120]);
    fs::write(uploads.join(bytes), "no text").unwrap();
    let old = jiff::Timestamp::from_second(-86_400).unwrap();
    File::options().write(true).open(uploads.join(&long)).unwrap().set_modified(old.into()).unwrap();
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let (code, archive, said) = pour(shop.holdpoint(), &["uploads", "-e", "staging"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("restored uploads (snapshot ") && said.contains("a tar archive of "), "{said}");
    let target = shop.beside("unpacked");
    let said = unpack(&archive, &target);
    // Of times that nobody would believe, tar warns; they are there on purpose. That names may be bytes, it knows anyway.
    let expected = |line: &&str| line.contains("time stamp") || line.contains("keyword 'hdrcharset'");
    let about_more: Vec<_> = said.lines().filter(|line| !expected(line)).collect();
    assert_eq!(about_more, [""; 0]);
    let root = uploads.canonicalize().unwrap();
    tree::assert_same(&root, &target.join(root.strip_prefix("/").unwrap()));
    // Only a part of it.
    let file = root.join("folder");
    let (code, archive, said) = pour(shop.holdpoint(), &["uploads", "-e", "staging", "--path", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let part = shop.beside("part");
    unpack(&archive, &part);
    tree::assert_same(&file, &part.join(file.strip_prefix("/").unwrap()));
    let there = fs::read_dir(part.join(root.strip_prefix("/").unwrap())).unwrap().count();
    assert_eq!(there, 1, "more came than was asked for");
    let dotted = format!(".{}", file.display());
    let (code, again, said) = pour(shop.holdpoint(), &["uploads", "-e", "staging", "--path", &dotted]);
    assert!(code == Some(0) && again == archive, "{said}");
    let (code, all, said) = pour(shop.holdpoint(), &["uploads", "-e", "staging", "--path", "."]);
    assert!(code == Some(0) && all == fs::read(target.with_extension("tar")).unwrap(), "{said}");
    for nothing in ["/nowhere", "./nowhere", "a/.."] {
        let (code, archive, _) = pour(shop.holdpoint(), &["uploads", "-e", "staging", "--path", nothing]);
        assert_eq!((code, archive.len()), (Some(2), 0), "{nothing}");
    }
    // And another reader of the format.
    let names = must(Command::new("python3").arg("-c").arg(PYTHON).arg(target.with_extension("tar")));
    assert!(names.contains("näme") && names.trim_end().ends_with("deep"), "{names}");

    // What restic stored: the same.
    let (folder, repository) = (shop.beside("sample"), shop.beside("repository"));
    sample::build(&folder);
    fs::remove_file(folder.join(sample::LINK_TO_BYTES)).unwrap();
    let restic = Restic::at(&repository).init_by_restic();
    restic.backup(&folder);
    let (code, archive, said) = pour(shop.holdpoint(), &["--repository", repository.to_str().unwrap(), "--quiet"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{said}");
    let target = shop.beside("of restic");
    unpack(&archive, &target);
    tree::assert_same(&folder, &target.join("sample"));
}

/// Names every member that is a file or a hard link by Python's own reader, and reads the one with the long name.
const PYTHON: &str = "import sys, tarfile
archive = tarfile.open(sys.argv[1], 'r:')
names = [member for member in archive if member.isreg() or member.islnk()]
sys.stdout.reconfigure(errors='replace')
print(*[member.name for member in names], sep='\\n')
assert [member for member in names if member.name.endswith('\\udcff' * 120)]
print([archive.extractfile(member).read() for member in names if 'näme' in member.name][0].decode())
";

#[test]
fn a_stream_comes_byte_for_byte_and_several_as_an_archive() {
    let shop = Shop::new();
    let noise = sample::noise(3_000_000, 5);
    shop.write("queue", &noise);
    for name in ["a", "b"] {
        fs::create_dir_all(shop.path().join("db")).unwrap();
        let sql = format!("CREATE TABLE {name} (x); INSERT INTO {name} VALUES (1)");
        Connection::open(shop.path().join(format!("db/{name}.sqlite"))).unwrap().execute_batch(&sql).unwrap();
    }
    shop.configure(
        "[[source]]\nname = \"queue\"\nkind = \"command\"\ncommand = [\"cat\", \"queue\"]\n\
         [[source]]\nname = \"one\"\nkind = \"sqlite\"\npath = \"db/a.sqlite\"\n\
         [[source]]\nname = \"all\"\nkind = \"sqlite\"\npath = \"db/*.sqlite\"\n",
    );
    shop.gate("1.4.0", &["--first"]).expect(0);
    let get = |name: &str| {
        let (code, data, said) = pour(shop.holdpoint(), &[name, "-e", "staging"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("all of it verified"), "{said}");
        data
    };
    assert!(get("queue") == noise, "the stream is not what was captured");
    // Nothing of the configuration is needed for it.
    let config = fs::read(shop.path().join("holdpoint.toml")).unwrap();
    shop.configure("");
    assert!(get("queue") == noise);
    shop.write("holdpoint.toml", config);
    for name in ["one", "all"] {
        let folder = shop.beside(name);
        let arguments = ["restore", name, "-e", "staging", "--target", folder.to_str().unwrap()];
        shop.run(&arguments).expect(0);
    }
    let one = fs::read_dir(shop.beside("one")).unwrap().next().unwrap().unwrap().path();
    assert!(get("one") == fs::read(one).unwrap());
    let target = shop.beside("unpacked");
    unpack(&get("all"), &target);
    tree::assert_same(&shop.beside("all"), &target);
}

#[test]
fn what_cannot_carry_the_data_is_refused() {
    let shop = Shop::new();
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let restore = ["restore", "uploads", "-e", "staging", "--target", "-"];
    let refused = shop.run(&[&restore[..], &["--format", "json"]].concat()).expect(2);
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("cannot carry both"));
    // A terminal, as `script` makes one.
    let like = shop.holdpoint().command([""; 0]);
    let mut script = Command::new("script");
    script.current_dir(shop.path()).env_clear().stdin(Stdio::null());
    script.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let line = [&[env!("CARGO_BIN_EXE_holdpoint")], &restore[..]].concat().join(" ");
    let output = script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("standard output is a terminal"));
}

/// An application with one stream of many packs.
fn with_large_stream() -> (Shop, Vec<u8>) {
    let shop = Shop::new();
    let noise = sample::noise(60 << 20, 9);
    shop.write("queue", &noise);
    shop.configure("[[source]]\nname = \"queue\"\nkind = \"command\"\ncommand = [\"cat\", \"queue\"]\n");
    shop.gate("1.4.0", &["--first"]).expect(0);
    (shop, noise)
}

#[test]
fn a_stream_that_is_damaged_in_the_middle_is_not_taken_for_whole() {
    let (shop, noise) = with_large_stream();
    let repository = shop.repository("staging");
    // The pack that holds the last blob of the stream, and before it all others.
    let id = shop.manifest()["sources"][0]["snapshot"]["id"].as_str().unwrap().to_owned();
    let packs = fs::read_dir(repository.join("data")).unwrap();
    let packs = packs.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).map(|file| file.unwrap().path());
    let mut packs: Vec<_> = packs.filter(|pack| pack.metadata().unwrap().len() > 1 << 20).collect();
    packs.sort_by_key(|pack| pack.metadata().unwrap().modified().unwrap());
    let last = packs.pop().unwrap();
    assert!(packs.len() > 1, "the stream of {id} is in one pack");
    let sound = fs::read(&last).unwrap();
    let mut bytes = sound.clone();
    bytes[1000] ^= 1;
    fs::set_permissions(&last, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&last, bytes).unwrap();
    let (code, data, said) = pour(shop.holdpoint(), &["queue", "-e", "staging"]);
    assert_eq!(code, Some(17), "{said}");
    assert!(said.contains("queue is not complete") && said.contains("must be thrown away"), "{said}");
    assert!(!data.is_empty() && data.len() < noise.len(), "{} bytes came", data.len());
    assert!(noise.starts_with(&data), "what came was not compared with its digest");
    assert!(said.trim_end().lines().last().unwrap().starts_with("refused: "), "{said}");
    fs::write(&last, sound).unwrap();
    let (code, data, _) = pour(shop.holdpoint(), &["queue", "-e", "staging"]);
    assert!(code == Some(0) && data == noise);
}

#[test]
fn a_reader_that_goes_away_or_a_run_that_is_ended_says_that_it_is_not_whole() {
    let (shop, noise) = with_large_stream();
    let restore = ["restore", "queue", "-e", "staging", "--target", "-"];
    let start = || shop.holdpoint().command(restore).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = start();
    let mut read = vec![0; 1 << 20];
    let mut out = running.stdout.take().unwrap();
    out.read_exact(&mut read).unwrap();
    assert!(noise.starts_with(&read));
    drop(out);
    let ended = running.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(17), "{said}");
    assert!(said.contains("must be thrown away") && said.contains("Broken pipe"), "{said}");

    // Nobody reads on: it ends all the same.
    let mut running = start();
    let mut out = running.stdout.take().unwrap();
    out.read_exact(&mut read).unwrap();
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = running.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(143), "{said}");
    assert!(said.contains("must be thrown away"), "{said}");
    drop(out);
}

/// Whoever owns the files and nothing above them, as a service does.
#[test]
fn whoever_may_write_into_the_directory_alone_restores_it_to_where_it_came_from() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not root: cannot become another user");
    }
    let shop = Shop::new();
    let (uploads, program) = (shop.path().join("uploads"), shop.beside("program"));
    fs::set_permissions(&uploads, PermissionsExt::from_mode(0o777)).unwrap();
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let own = |path: &Path, user| std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    for path in shop.files().keys() {
        own(path, NOBODY);
    }
    own(&shop.beside(""), NOBODY);
    fs::copy(env!("CARGO_BIN_EXE_holdpoint"), &program).unwrap();
    let restore = || {
        let like = shop.holdpoint().command(["restore", "uploads", "-e", "staging", "--force"]);
        let mut command = Command::new(&program);
        command.args(like.get_args()).current_dir(shop.path()).env_clear().uid(NOBODY).gid(NOBODY);
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.env("HOME", shop.path().join(".holdpoint")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let invoice = uploads.join("invoice.txt");
    let damage = || fs::write(&invoice, "damaged").unwrap();
    damage();
    fs::remove_file(uploads.join("mug.png")).unwrap();
    assert_eq!(shop.path().metadata().unwrap().uid(), 0, "it could write beside the uploads");
    let (code, said) = restore();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read(&invoice).unwrap(), b"one mug, 12.00 EUR\n");
    assert!(uploads.join("mug.png").exists() && !uploads.join(MARKER).exists());

    // A volume of root's in which everybody may write.
    damage();
    own(&uploads, 0);
    let (code, said) = restore();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("uploads: keeps its time"), "{said}");
    assert_eq!(fs::read(&invoice).unwrap(), b"one mug, 12.00 EUR\n");
    fs::set_permissions(&uploads, PermissionsExt::from_mode(0o755)).unwrap();
    damage();
    let (code, said) = restore();
    assert_eq!(code, Some(17), "{said}");
    assert!(said.contains(&format!("cannot write into {}", uploads.display())), "{said}");
    assert_eq!(fs::read(&invoice).unwrap(), b"damaged");
}

#[test]
fn what_the_repository_lacks_fails_the_same_wherever_it_is_found() {
    let shop = Shop::new();
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    // The index forgets every pack: an empty one takes its place.
    let indexes = shop.repository("staging").join("index");
    let damaged = shop.beside("out").display().to_string();
    fs::remove_dir_all(&indexes).unwrap();
    fs::create_dir(&indexes).unwrap();
    for target in [damaged.as_str(), "-"] {
        let output = shop.run(&["restore", "uploads", "-e", "staging", "--target", target]).expect(17);
        assert_eq!(output.stdout, "");
        output.says(&["nothing was written"]);
    }
    shop.run(&["restore", "uploads", "-e", "staging", "--force"]).expect(17);
}

#[test]
fn only_what_an_allowed_signer_signed_is_restored() {
    let keys = Keys::new();
    let shop = Shop::with(|holdpoint| holdpoint.env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers")));
    let restore = |code: u8, more: &[&str]| {
        let target = shop.beside("out");
        let _ = fs::remove_dir_all(&target);
        let fixed = ["restore", "uploads", "-e", "staging", "--target", target.to_str().unwrap()];
        let output = shop.run(&[&fixed[..], more].concat()).expect(code);
        assert_eq!(target.exists(), code == 0);
        output
    };
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    restore(16, &[]).says(&["has no signature", "--repository"]).refuses_in_words();
    assert_eq!(pour(shop.holdpoint(), &["uploads", "-e", "staging"]).1, b"");
    let gate = ["gate", "-e", "staging", "--release", "1.4.1", "--commit", crate::support::shop::COMMIT, "--first"];
    let mut gate = shop.holdpoint().command([&gate[..], &["uploads"]].concat());
    must(gate.env("HOLDPOINT_SIGNING_KEY", keys.text("release")));
    let quiet = restore(0, &[]);
    assert!(!quiet.stderr.contains("warning"), "{}", quiet.stderr);
    let file = ["--manifest", "holdpoint-manifest.json"];
    restore(0, &file);

    // Altered, in the file and in the ledger.
    let path = shop.path().join("holdpoint-manifest.json");
    let good = fs::read_to_string(&path).unwrap();
    let altered = good.replace("\"version\": \"1.4.1\"", "\"version\": \"1.4.2\"");
    assert_ne!(altered, good);
    fs::write(&path, &altered).unwrap();
    restore(16, &file).says(&["altered"]).refuses_in_words();
    let id = shop.manifest()["id"].as_str().unwrap().to_owned();
    let stored = shop.repository("staging").with_file_name(release_folder(&id)).join("manifest.json");
    fs::set_permissions(&stored, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&stored, &altered).unwrap();
    restore(16, &[]).says(&["altered"]);
    fs::write(&stored, &good).unwrap();
    fs::write(&path, &good).unwrap();
    // By a stranger; and by keys that only the flag names.
    let stranger = keys.make("stranger");
    let others = keys.path("others");
    fs::write(&others, format!("eve@acme.example {stranger}\n")).unwrap();
    restore(16, &["--allowed-signers", others.to_str().unwrap()]).says(&["not among the allowed signers"]);
    restore(0, &[]);
    restore(2, &["--allowed-signers", "no such file"]);

    let unchecked = Shop::new();
    unchecked.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let target = unchecked.beside("out").display().to_string();
    let output = unchecked.run(&["restore", "uploads", "-e", "staging", "--target", &target]).expect(0);
    output.says(&["warning: nobody checked who signed the manifest"]);
    // Even then a file is not believed that says something else than the ledger.
    let path = unchecked.path().join("holdpoint-manifest.json");
    let altered = fs::read_to_string(&path).unwrap().replace("\"version\": \"1.4.0\"", "\"version\": \"1.4.2\"");
    fs::write(&path, altered).unwrap();
    let other = unchecked.beside("other").display().to_string();
    let restore = ["restore", "uploads", "-e", "staging", "--target", &other];
    unchecked.run(&[&restore[..], &file].concat()).expect(16).says(&["is not the manifest"]);
}
