use super::*;
use std::collections::BTreeSet;
use std::fs::{create_dir_all, write};
use std::process::Command;

/// Walks as the archiver does and returns what is kept: files and links, relative to the root.
fn kept(exclude: &Exclude, root: &Path) -> BTreeSet<String> {
    let matcher = Matcher::new(exclude, &[root.to_owned()]).unwrap();
    let mut files = BTreeSet::new();
    let mut todo = vec![(root.to_owned(), matcher.root(root).clone())];
    while let Some((directory, matcher)) = todo.pop() {
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let size = if meta.is_file() { meta.len() } else { 0 };
            if matcher.is_excluded(&path, meta.is_dir(), size) {
                continue;
            }
            if meta.is_dir() {
                let inside = matcher.enter(&path);
                todo.push((path, inside));
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

fn make(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, text).unwrap();
    }
}

fn set(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|&file| file.to_owned()).collect()
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    (directory, path)
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What git keeps, by its own account: untracked files that no rule ignores.
fn kept_by_git(root: &Path) -> BTreeSet<String> {
    let list = git(root, &["ls-files", "--others", "--exclude-standard", "-z"]);
    list.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn globs_count_from_the_root_and_mean_what_gitignore_means() {
    let (_guard, root) = temporary();
    make(&root, &[("a.log", ""), ("keep.log", ""), ("cache/x", ""), ("sub/cache/y", ""), ("sub/b.log", ""), ("c", "")]);
    let globs =
        |globs: &[&str]| Exclude { globs: globs.iter().map(|&glob| glob.to_owned()).collect(), ..Exclude::default() };
    assert_eq!(kept(&globs(&["*.log", "!keep.log", "/cache/"]), &root), set(&["keep.log", "sub/cache/y", "c"]));
    assert_eq!(kept(&globs(&["cache/**"]), &root), set(&["a.log", "keep.log", "sub/cache/y", "sub/b.log", "c"]));
    let error = Matcher::new(&globs(&["[a"]), &[root]).unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::Config, "`[a` is not a glob"));
}

#[test]
fn large_files_and_caches_are_left_out() {
    let (_guard, root) = temporary();
    let tag = std::str::from_utf8(CACHE_SIGNATURE).unwrap();
    make(&root, &[("large", "0123456789"), ("small", "012"), ("fake/CACHEDIR.TAG", "no"), ("fake/x", "")]);
    make(&root, &[("c/CACHEDIR.TAG", "more"), ("c/data", ""), ("c/sub/data", "")]);
    write(root.join("c/CACHEDIR.TAG"), format!("{tag}\n# made by a test\n")).unwrap();
    let large = Exclude { larger_than: Some(9), ..Exclude::default() };
    assert!(!kept(&large, &root).contains("large") && kept(&large, &root).contains("small"));
    let caches = Exclude { caches: true, ..Exclude::default() };
    assert_eq!(kept(&caches, &root), set(&["large", "small", "fake/CACHEDIR.TAG", "fake/x", "c/CACHEDIR.TAG"]));
    // A root that is a cache is one too, and a FIFO of that name blocks nobody.
    assert_eq!(kept(&caches, &root.join("c")), set(&["CACHEDIR.TAG"]));
    std::fs::remove_file(root.join("fake/CACHEDIR.TAG")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("fake/CACHEDIR.TAG")).status().unwrap().success());
    assert!(kept(&caches, &root).contains("fake/x"));
}

#[test]
fn paths_are_left_out_however_they_are_spelled() {
    let (_guard, root) = temporary();
    make(&root, &[("real/app/.holdpoint/key", ""), ("real/app/.holdpoint/store/x", ""), ("real/app/data", "")]);
    std::os::unix::fs::symlink("real", root.join("link")).unwrap();
    for (walked, named) in [("real", "real"), ("link", "real"), ("real", "link")] {
        let base = root.join(named).join("app/.holdpoint");
        let exclude = Exclude { paths: vec![base.join("key"), base.join("store")], ..Exclude::default() };
        assert_eq!(kept(&exclude, &root.join(walked).join("app")), set(&["data"]), "{walked} {named}");
        assert_eq!(kept(&exclude, &root.join(walked).join("app/.holdpoint/store")), set(&[]), "{walked} {named}");
    }
    // One that does not exist yet counts once it does.
    let exclude = Exclude { paths: vec![root.join("link/app/later")], ..Exclude::default() };
    let matcher = Matcher::new(&exclude, &[root.join("real")]).unwrap();
    assert!(matcher.root(&root.join("real")).is_excluded(&root.join("real/app/later"), true, 0));
}

#[test]
fn git_rules_are_those_of_git() {
    let (_guard, root) = temporary();
    git(&root, &["init", "-q"]);
    make(
        &root,
        &[
            (
                ".gitignore",
                "# comment\n*.log\n!important.log\nbuild/\n/only-top\nsub/deep/*.tmp\n\\#hash\n\\!bang\nspace\\ \n\
                 trailing   \nfoo/*\n!foo/keep\n**/any/where\na/**/z\n[ab]?.txt\n[!c]x.dat\n*.bak\r\n[broken\ndir-*/\n",
            ),
            (".git/info/exclude", "from-info\n*.info\n"),
            ("sub/.gitignore", "!x.log\nlocal\n/anchored\n!*.info\n"),
            ("sub/deep/.gitignore", "*\n!.gitignore\n!kept\n!more/\n"),
        ],
    );
    for directory in ["", "sub/", "sub/deep/", "build/", "sub/build/", "foo/", "foo/keep/", "a/b/c/", "any/", "dir-1/"]
    {
        for name in [
            "x.log",
            "important.log",
            "only-top",
            "y.tmp",
            "#hash",
            "!bang",
            "space ",
            "trailing",
            "z",
            "a1.txt",
            "c1.txt",
            "cx.dat",
            "dx.dat",
            "o.bak",
            "[broken",
            "from-info",
            "q.info",
            "local",
            "anchored",
            "kept",
            "where",
            "plain",
            "ä.log",
            "dir-2",
        ] {
            make(&root, &[(&format!("{directory}{name}"), "")]);
        }
    }
    make(&root, &[("sub/deep/more/kept", ""), ("sub/deep/more/lost", "")]);
    let exclude = Exclude { git_ignore: true, ..Exclude::default() };
    let ours: BTreeSet<String> = kept(&exclude, &root).into_iter().filter(|path| !path.starts_with(".git/")).collect();
    let theirs = kept_by_git(&root);
    let differences: Vec<_> = ours.symmetric_difference(&theirs).collect();
    assert!(differences.is_empty(), "{differences:?}");
    assert!(theirs.len() > 20 && kept(&exclude, &root).contains(".git/HEAD"));
    // Below a root inside of the repository the rules from above count too.
    let below: BTreeSet<String> =
        theirs.iter().filter_map(|path| Some(path.strip_prefix("sub/")?.to_owned())).collect();
    assert_eq!(kept(&exclude, &root.join("sub")), below);
}

#[test]
fn a_repository_inside_of_another_has_its_own_rules_and_a_git_directory_none() {
    let (_guard, root) = temporary();
    git(&root, &["init", "-q"]);
    make(&root, &[(".gitignore", ".*\n*.log\nHEAD\n"), ("x.log", ""), ("y", ""), (".hidden", "")]);
    create_dir_all(root.join("inner")).unwrap();
    git(&root.join("inner"), &["init", "-q"]);
    make(&root, &[("inner/x.log", ""), ("inner/z.tmp", ""), ("inner/.gitignore", "*.tmp\n")]);
    let exclude = Exclude { git_ignore: true, ..Exclude::default() };
    let kept = kept(&exclude, &root);
    assert!(kept.contains("y") && kept.contains("inner/x.log") && kept.contains("inner/.gitignore"));
    assert!(kept.contains(".git/HEAD") && kept.contains("inner/.git/HEAD"));
    assert!(!kept.contains("x.log") && !kept.contains("inner/z.tmp") && !kept.contains(".hidden"));
}

#[test]
fn a_linked_working_tree_follows_the_shared_exclude_file() {
    let (_guard, root) = temporary();
    create_dir_all(root.join("main")).unwrap();
    let main = root.join("main");
    git(&main, &["init", "-q"]);
    git(&main, &["-c", "user.name=t", "-c", "user.email=t@example", "commit", "-q", "--allow-empty", "-m", "x"]);
    git(&main, &["worktree", "add", "-q", "../linked"]);
    make(&root, &[("main/.git/info/exclude", "*.secret\n"), ("linked/a.secret", ""), ("linked/b", "")]);
    let exclude = Exclude { git_ignore: true, ..Exclude::default() };
    assert_eq!(kept(&exclude, &root.join("linked")), set(&[".git", "b"]));
}

#[test]
fn rules_count_without_a_repository() {
    let (_guard, root) = temporary();
    make(&root, &[(".gitignore", "*.log"), ("a.log", ""), ("sub/b.log", ""), ("c", "")]);
    let exclude = Exclude { git_ignore: true, ..Exclude::default() };
    assert_eq!(kept(&exclude, &root), set(&[".gitignore", "c"]));
    assert_eq!(kept(&Exclude::default(), &root).len(), 4);
}
