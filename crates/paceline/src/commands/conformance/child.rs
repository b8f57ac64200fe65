//! A subscriber as a child process: JSON lines on its stdin and stdout, its stderr is ours.

use super::session::Link;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// For one message; a virtual machine starts within it on a busy computer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// For an end after its input was closed.
const END_LIMIT: Duration = Duration::from_secs(2);
/// An answer is far below; a longer line is nonsense.
const LINE_BYTES_MAX: u64 = 1_000_000;
/// Lines that wait for us.
const LINES_MAX: usize = 16;

/// The process, while it runs.
pub struct Child {
    command: String,
    folder: PathBuf,
    running: Option<Running>,
}

struct Running {
    process: Process,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Child {
    /// A command line for the shell, and the folder in which it may remember.
    pub fn new(command: &str, folder: &Path) -> Self {
        Self { command: command.to_owned(), folder: folder.to_owned(), running: None }
    }

    fn running(&mut self) -> Result<&mut Running, String> {
        self.running.as_mut().ok_or_else(|| "the subscriber does not run".into())
    }
}

impl Link for Child {
    fn start(&mut self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("the subscriber cannot be started: {error}");
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut process = Command::new("sh")
            .args(["-c", &self.command])
            .env("PACELINE_CONFORMANCE_STATE", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own, so that a crash also ends what a wrapper script has started.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the subscriber has no pipes".into());
        };
        let (sender, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = String::new();
            // Ends with the process, with a line that is none, or when nobody listens any more.
            while reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        self.running = Some(Running { process, input, lines });
        Ok(())
    }

    fn send(&mut self, message: &Value) -> Result<(), String> {
        let input = &mut self.running()?.input;
        let written = writeln!(input, "{message}").and_then(|()| input.flush());
        written.map_err(|error| format!("it does not read its input: {error}"))
    }

    fn receive(&mut self) -> Result<Value, String> {
        match self.running()?.lines.recv_timeout(ANSWER_LIMIT) {
            Ok(line) => {
                let shown: String = line.trim_end().chars().take(200).collect();
                serde_json::from_str(&line).map_err(|_| format!("a line that is no JSON: {shown:?}"))
            }
            Err(RecvTimeoutError::Timeout) => Err(format!("no message for {} s", ANSWER_LIMIT.as_secs())),
            Err(RecvTimeoutError::Disconnected) => Err("it ended in the middle of the case".into()),
        }
    }

    fn crash(&mut self) {
        if let Some(mut running) = self.running.take() {
            kill_group(&mut running.process);
        }
    }

    fn end(&mut self) {
        let Some(Running { mut process, input, lines }) = self.running.take() else { return };
        drop(input);
        let deadline = Instant::now() + END_LIMIT;
        // Its output closes when it ends; whatever it still says is of no interest.
        while lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
        kill_group(&mut process);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.crash();
    }
}

fn kill_group(process: &mut Process) {
    let group = format!("-{}", process.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = process.kill();
    let _ = process.wait();
}
