//! What a run may leave in its private directory: directories that do not let themselves be removed, processes that use it.

use crate::error::{IoContext, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone; only one stuck in the kernel takes longer.
const KILLED_WITHIN: Duration = Duration::from_secs(1);
/// The pause between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

/// A process that a drill told of its private directory when it was started, or that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its process id.
    pid: i32,
    /// The process id and the name, for people.
    pub name: String,
    /// Whether a variable of drills names the directory: then the run that owned the directory started it.
    is_told: bool,
}

/// Finds the processes that use a private directory, as far as this user may see. This process is none of them.
pub fn users(directory: &Path) -> Vec<User> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id().cast_signed();
    let pid = |name: &std::ffi::OsStr| name.to_str()?.parse::<i32>().ok().filter(|pid| *pid != own);
    processes.flatten().filter_map(|entry| user(pid(&entry.file_name())?, &entry.path(), directory)).collect()
}

fn user(pid: i32, process: &Path, directory: &Path) -> Option<User> {
    let names = |variable: &[u8]| {
        let wanted = directory.as_os_str().as_bytes();
        // The name must end there: another directory's may begin with it.
        variable.windows(wanted.len()).enumerate().any(|(at, part)| {
            part == wanted && variable.get(at + wanted.len()).is_none_or(|next| !next.is_ascii_alphanumeric())
        })
    };
    // Only what a drill sets: a person's editor or shell may have the directory in its arguments and other variables.
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    let is_told = environment.split(|byte| *byte == 0).any(|one| one.starts_with(b"HOLDPOINT_DRILL_") && names(one));
    let is_in = || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory));
    // One that has ended and waits for its parent has none of these.
    if !is_told && !is_in() {
        return None;
    }
    let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Some(User { pid, name: format!("process {pid} ({})", command.trim()), is_told })
}

/// Ends the processes that were started with a private directory in a variable of drills; returns those that it
/// ended, and those that still use the directory.
pub fn end_users(directory: &Path) -> (Vec<User>, Vec<User>) {
    let mut ended: Vec<User> = Vec::new();
    let until = Instant::now() + KILLED_WITHIN;
    loop {
        let left = users(directory);
        if left.is_empty() || Instant::now() >= until {
            ended.retain(|user| !left.contains(user));
            return (ended, left);
        }
        for user in left.into_iter().filter(|user| user.is_told) {
            // One that is gone already is no reason to do anything; by its handle, nobody who got its number is hit.
            let handle = Pid::from_raw(user.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            let is_same =
                self::user(user.pid, &Path::new("/proc").join(user.pid.to_string()), directory).as_ref() == Some(&user);
            if let Some(handle) = handle.filter(|_| is_same) {
                let _ = pidfd_send_signal(&handle, Signal::KILL);
            }
            if !ended.contains(&user) {
                ended.push(user);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Removes a directory with all that is in it, also directories that may not be written.
///
/// # Errors
/// What is left, and why.
pub fn remove_tree(directory: &Path) -> Result<()> {
    if fs::remove_dir_all(directory).is_ok() || !exists(directory) {
        return Ok(());
    }
    open_up(directory);
    match fs::remove_dir_all(directory) {
        Err(error) if exists(directory) => Err(error).io_context(|| format!("cannot remove {}", directory.display())),
        _ => Ok(()),
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Lets the owner of directories remove what is in them; what cannot be changed is found when it is removed.
fn open_up(directory: &Path) {
    let mut open: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let _ = fs::set_permissions(&directory, fs::Permissions::from_mode(0o700));
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        open.extend(entries.flatten().filter(is_directory).map(|entry| entry.path()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn start(directory: &Path, prepare: impl FnOnce(&mut Command)) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").current_dir("/");
        prepare(&mut command);
        let child = command.spawn().unwrap();
        // The variables of the new program are there once it runs.
        while fs::read(format!("/proc/{}/cmdline", child.id())).is_ok_and(|line| !line.starts_with(b"sleep")) {
            std::thread::yield_now();
        }
        assert!(directory.is_absolute());
        child
    }

    #[test]
    fn who_was_started_for_a_directory_is_ended_and_a_visitor_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let mut told = start(&path, |command| {
            command.env("HOLDPOINT_DRILL_DIRECTORY", path.join("place"));
        });
        let mut visitor = start(&path, |command| {
            command.current_dir(&path);
        });
        let longer = format!("{}x", path.display());
        let mut other = start(&path, |command| {
            command.env("HOLDPOINT_DRILL_OTHER", &longer).env("OLDPWD", &path);
        });
        // Whoever is killed stays until it was waited for; its arguments and variables are gone at once.
        let (ended, left) = end_users(&path);
        let (told_pid, visitor_pid) = (told.id().cast_signed(), visitor.id().cast_signed());
        assert_eq!(ended.iter().map(|user| user.pid).collect::<Vec<_>>(), [told_pid]);
        assert_eq!(left.iter().map(|user| user.pid).collect::<Vec<_>>(), [visitor_pid]);
        assert_eq!(left[0].name, format!("process {visitor_pid} (sleep)"));
        assert!(other.try_wait().unwrap().is_none());
        for child in [&mut told, &mut visitor, &mut other] {
            let _ = child.kill();
            child.wait().unwrap();
        }
        assert_eq!(users(&path), []);
    }

    #[test]
    fn a_directory_that_may_not_be_written_goes_too() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("restored");
        fs::create_dir_all(directory.join("a/b")).unwrap();
        fs::write(directory.join("a/b/file"), "x").unwrap();
        fs::set_permissions(directory.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(directory.join("a/b"), fs::Permissions::from_mode(0o100)).unwrap();
        remove_tree(&directory).unwrap();
        assert!(!directory.exists());
        remove_tree(&directory).unwrap();
    }
}
