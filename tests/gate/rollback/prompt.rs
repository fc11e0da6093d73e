//! The question on a terminal: only the right name starts anything. `script` makes the terminal.

use super::{HOOKS, World};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};

/// A run on a terminal of its own.
struct Session {
    script: Child,
    typed: Option<ChildStdin>,
    shown: BufReader<std::process::ChildStdout>,
}

impl Session {
    /// Starts a rollback on a terminal, and waits until it asks.
    fn asked(world: &World, id: &str) -> Self {
        let run = world.shop.holdpoint.command(["rollback", "--environment", "staging", "--id", id, "--wait", "0s"]);
        let words = std::iter::once(run.get_program()).chain(run.get_args());
        let line: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut script = world.shop.holdpoint.command([""; 0]);
        // The same environment and directory, another program.
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line.join(" "), "/dev/null"]);
        command.current_dir(script.get_current_dir().unwrap()).env_clear();
        command.envs(script.get_envs().filter_map(|(name, value)| Some((name, value?))));
        drop(std::mem::replace(&mut script, std::process::Command::new("true")));
        let mut script = command.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let typed = script.stdin.take();
        let mut shown = BufReader::new(script.stdout.take().unwrap());
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("type the name of the environment to roll it back: ") {
            let mut byte = [0];
            assert_eq!(shown.read(&mut byte).unwrap(), 1, "it did not ask:\n{}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        Self { script, typed, shown }
    }

    /// Types something; returns the exit code and what was shown since.
    fn types(mut self, keys: &str) -> (Option<i32>, String) {
        let mut typed = self.typed.take().unwrap();
        typed.write_all(keys.as_bytes()).unwrap();
        typed.flush().unwrap();
        let mut text = String::new();
        // `script` takes the end of what is typed for a key of its own: so it stays open until the run has ended.
        while let Ok(length) = self.shown.read_line(&mut text)
            && length > 0
        {}
        drop(typed);
        (self.script.wait().unwrap().code(), text)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn only_the_right_name_starts_a_rollback() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    let before = world.data();
    for (keys, code, says) in [
        ("production\r", 2, "the environment is staging, and \"production\" was named: nothing was changed"),
        ("stagin\r", 2, "\"stagin\" was named"),
        ("\r", 2, "nothing was changed"),
        ("yes\r", 2, "nothing was changed"),
        // The end of the input (Ctrl-D), and Ctrl-C, also after the name was begun.
        ("\u{4}", 2, "nobody answered: nothing was changed"),
        ("\u{3}", 130, "interrupted by SIGINT"),
        ("staging\u{3}", 130, "interrupted by SIGINT"),
    ] {
        let (exit, shown) = Session::asked(&world, &id).types(keys);
        assert_eq!(exit, Some(code), "{keys:?}: {shown}");
        assert!(shown.contains(says), "{keys:?}: {shown}");
        assert_eq!((world.data(), world.log()), (before.clone(), vec![]), "{keys:?} changed something");
        assert!(!world.place("freeze.json").exists(), "{keys:?} froze the environment");
        world.shop.assert_nothing_left();
    }
    let (exit, shown) = Session::asked(&world, &id).types("staging\r");
    assert_eq!(exit, Some(0), "{shown}");
    world.assert_undone();
}
