use super::*;
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, Result};
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

fn sh(script: &str) -> Program {
    Program::new(["/bin/sh", "-c", script])
}

fn print(program: &Program) -> String {
    let output = run_to_end(program, MINUTE, &Cancel::new(), 1 << 20).unwrap();
    String::from_utf8(output.into_stdout().unwrap()).unwrap()
}

fn error_of(script: &str) -> Error {
    let mut stream = Stream::start(&sh(script), &Cancel::new()).unwrap();
    std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    stream.finish().unwrap_err()
}

/// Says whether a process runs; one that is dead and only waits to be reaped does not.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Starts a script and reads the process id that it prints first.
fn start_and_read_pid(script: &str, cancel: &Cancel) -> (BufReader<Stream>, String) {
    let mut stream = BufReader::new(Stream::start(&sh(script), cancel).unwrap());
    let mut pid = String::new();
    stream.read_line(&mut pid).unwrap();
    assert!(is_running(&pid), "{pid}");
    (stream, pid)
}

#[test]
fn a_stream_is_read_whole_and_its_status_counts() {
    let mut stream = Stream::start(&sh("head -c 3000000 /dev/zero; printf end"), &Cancel::new()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes.len(), bytes.ends_with(b"end")), (3_000_003, true));
    stream.finish().unwrap();

    let error = error_of("echo data; echo 'it is broken' >&2; exit 3");
    assert_eq!(error.code(), ErrorCode::ProcessFailed);
    assert_eq!(error.chain(), "/bin/sh exited 3: it is broken");
    assert_eq!(error_of("kill -9 $$").message(), "/bin/sh was killed by SIGKILL");
}

#[test]
fn a_program_that_closes_its_output_is_waited_for() {
    let error = error_of("exec >&-; sleep 0.1; exit 4");
    assert_eq!(error.message(), "/bin/sh exited 4");
}

#[test]
fn the_environment_is_scrubbed() {
    // Cargo sets plenty of variables for its tests.
    assert!(std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("CARGO")));
    let mut program = Program::new(["env"]);
    program.env.insert("GIVEN".to_owned(), "value".to_owned());
    let names: Vec<String> =
        print(&program).lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
    assert!(names.iter().any(|name| name == "GIVEN") && names.iter().any(|name| name == "PATH"));
    let allowed = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIVEN"];
    for name in names {
        assert!(allowed.contains(&name.as_str()) || name.starts_with("LC_"), "{name}");
    }
}

#[test]
fn arguments_are_not_a_shell_line() {
    assert_eq!(print(&Program::new(["echo", "$HOME; `id` |"])), "$HOME; `id` |\n");
    let directory = tempfile::tempdir().unwrap();
    let program = Program { directory: Some(directory.path().canonicalize().unwrap()), ..Program::new(["pwd"]) };
    assert_eq!(print(&program).trim(), program.directory.unwrap().to_str().unwrap());
}

#[test]
fn a_program_that_cannot_be_run_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("plain"), "text").unwrap();
    let locate = |name: &str| {
        Program { directory: Some(directory.path().to_owned()), ..Program::new([name]) }.locate().unwrap_err()
    };
    assert!(locate("no-such-program-here").message().starts_with("cannot find the program no-such-program-here"));
    assert!(locate("./plain").message().ends_with("plain is not an executable file"));
    assert!(locate("./missing").message().starts_with("cannot find the program /"));
    assert_eq!(locate("").message(), "no program was given");
    assert!(locate("no-such-program-here").hints()[0].contains("PATH"));
    let nowhere = Program { directory: Some("/no/such/place".into()), ..Program::new(["true"]) };
    assert!(nowhere.locate().unwrap_err().message().contains("working directory /no/such/place"));
}

#[test]
fn cancelling_ends_the_whole_group() {
    let cancel = Cancel::new();
    let (mut stream, pid) = start_and_read_pid("sleep 1000 & echo $!; wait", &cancel);
    cancel.cancel(Reason::Interrupt);
    let error = stream.read(&mut [0; 10]).unwrap_err();
    let error = Err::<(), _>(error).map_err(|error| *error.into_inner().unwrap().downcast::<Error>().unwrap());
    assert_eq!(error.unwrap_err().code(), ErrorCode::Interrupted);
    drop(stream);
    assert!(!is_running(&pid));
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_after_the_grace() {
    let cancel = Cancel::new();
    let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait; sleep 1000";
    let (stream, pid) = start_and_read_pid(script, &cancel);
    cancel.cancel(Reason::Terminate);
    let start = Instant::now();
    drop(stream);
    assert!(start.elapsed() >= Reason::Terminate.grace());
    assert!(!is_running(&pid));
}

#[test]
fn a_child_may_use_the_grace_to_clean_up_after_its_parent_died() {
    let directory = tempfile::tempdir().unwrap();
    let script = "sh -c 'trap \"sleep 0.2; touch cleaned; exit\" TERM; echo $$; while :; do sleep 0.05; done' & wait";
    let program = Program { directory: Some(directory.path().to_owned()), ..sh(script) };
    let mut stream = BufReader::new(Stream::start(&program, &Cancel::new()).unwrap());
    stream.read_line(&mut String::new()).unwrap();
    drop(stream);
    assert!(directory.path().join("cleaned").exists());
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let pid = print(&sh("sleep 1000 >/dev/null 2>&1 & echo $!"));
    assert!(!is_running(&pid), "{pid}");
}

#[test]
fn a_process_that_escaped_with_the_pipe_does_not_outlast_a_cancellation() {
    let cancel = Cancel::new();
    let (mut stream, pid) = start_and_read_pid("setsid sh -c 'echo $$; exec sleep 1000'", &cancel);
    let reader = std::thread::spawn(move || {
        let error = stream.read(&mut [0; 10]).unwrap_err();
        drop(stream);
        error
    });
    cancel.cancel(Reason::Deadline);
    assert_eq!(reader.join().unwrap().to_string(), "the deadline passed");
    // It left the group, so that it is not ours to end but here.
    assert!(std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success());
}

#[test]
fn a_flood_on_standard_error_is_bounded_and_secrets_do_not_show() {
    let script = "head -c 20000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo \"login with $KEY failed\" >&2; exit 1";
    let mut program = Program { secrets: vec!["s3cret".to_owned()], ..sh(script) };
    program.env.insert("KEY".to_owned(), "s3cret".to_owned());
    let output = run_to_end(&program, MINUTE, &Cancel::new(), 0).unwrap();
    assert!(output.stderr().text.len() <= 64 * 1024 && output.stderr().total > 20_000_000);
    let chain = output.into_stdout().unwrap_err().chain();
    assert!(chain.ends_with("login with *** failed") && !chain.contains("s3cret"));
}

#[test]
fn a_run_is_bounded_in_time_and_size() {
    let run = |script: &str, timeout| run_to_end(&sh(script), timeout, &Cancel::new(), 100).map(|_| ());
    let error = run("exec sleep 1000", Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.chain(), "cannot read what /bin/sh prints: /bin/sh did not end within 50ms");
    assert_eq!(error.code(), ErrorCode::ProcessFailed);
    assert_eq!(run("yes", MINUTE).unwrap_err().message(), "/bin/sh printed more than 100 bytes");
    run("head -c 100 /dev/zero", MINUTE).unwrap();
}

#[test]
fn a_program_is_fed_to_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let in_directory = |script| Program { directory: Some(directory.path().to_owned()), ..sh(script) };
    let feed_zeros = |script, count| -> Result<()> {
        feed(&in_directory(script), &mut std::io::repeat(b'0').take(count), &Cancel::new())
    };
    feed_zeros("cat > copy", 5_000_000).unwrap();
    assert_eq!(directory.path().join("copy").metadata().unwrap().len(), 5_000_000);
    // One that reads only a part decides by its status.
    feed_zeros("head -c 10 > part", 5_000_000).unwrap();
    let error = feed_zeros("echo 'no such table'; exit 2", 5_000_000).unwrap_err();
    assert_eq!(error.chain(), "/bin/sh exited 2: no such table");
}

#[test]
fn a_broken_input_does_not_look_complete_to_the_program() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other(Error::new(ErrorCode::Damaged, "a pack is missing").hint("run check")))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let program = Program { directory: Some(directory.path().to_owned()), ..sh("cat > /dev/null; touch complete") };
    let mut input = std::io::repeat(0).take(100).chain(Broken);
    let error = feed(&program, &mut input, &Cancel::new()).unwrap_err();
    assert_eq!((error.code(), error.hints()), (ErrorCode::Damaged, &["run check".to_owned()][..]));
    assert!(!directory.path().join("complete").exists());
}

#[test]
fn feeding_a_program_that_does_not_read_can_be_cancelled() {
    let cancel = Cancel::new();
    let (asked, was_asked) = std::sync::mpsc::channel();
    let input = InputThat { asked };
    let feeder = {
        let (cancel, mut input) = (cancel.clone(), input);
        std::thread::spawn(move || feed(&sh("exec sleep 1000"), &mut input, &cancel))
    };
    // What the pipe holds was asked for, so the feeder is about to block or does so already.
    for _ in 0..4 {
        was_asked.recv().unwrap();
    }
    cancel.cancel(Reason::Interrupt);
    assert_eq!(feeder.join().unwrap().unwrap_err().code(), ErrorCode::Interrupted);
}

/// Endless zeros; tells when it is read.
struct InputThat {
    asked: std::sync::mpsc::Sender<()>,
}

impl Read for InputThat {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let _ = self.asked.send(());
        buffer.fill(0);
        Ok(buffer.len())
    }
}
