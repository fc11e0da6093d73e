// One `run:` step as the runner executes it: a script file, a shell, its output line by line, its files, its cancellation.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseCommand, readEntries, readLines } from "./commands.mjs";

const SHELLS = {
  bash: ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"],
  sh: ["sh", "-e"],
};

// How long the runner waits after SIGINT, and after SIGTERM, in milliseconds.
const AFTER_INTERRUPT = 7500;
const AFTER_TERMINATE = 2500;
// And for the output of what a step left behind.
const FOR_OUTPUT = 5000;

/**
 * Runs a script; returns `{ exitCode, signals, outputs, failed }`: `signals` are those that it took to cancel the step, `failed`
 * says that a command or a file could not be processed.
 */
export async function runScript(job, { script, shell, directory, env }) {
  const files = prepareFiles(job.temp);
  const path = join(job.temp, `${randomUUID()}.sh`);
  writeFileSync(path, script);
  const [program, ...flags] = SHELLS[shell] ?? unknownShell(shell);
  const github = Object.fromEntries(Object.entries(files).map(([name, file]) => [`GITHUB_${name.toUpperCase()}`, file]));
  const search = [...job.prependPath].reverse().concat(job.base.PATH).join(":");
  const child = spawn(program, [...flags, path], {
    cwd: directory,
    env: { ...job.base, ...env, ...github, PATH: search },
    stdio: ["ignore", "pipe", "pipe"],
  });

  const step = { outputs: {}, failed: false, stopToken: null };
  for (const stream of [child.stdout, child.stderr]) eachLine(stream, (line) => received(job, step, line));
  const signals = [];
  const timers = [];
  const send = (signal) => {
    signals.push(signal);
    child.kill(signal);
  };
  const cancel = () => {
    send("SIGINT");
    timers.push(setTimeout(() => send("SIGTERM"), job.afterInterrupt ?? AFTER_INTERRUPT));
    // A test that has SIGTERM come early does not want the end to come early too.
    const limit = job.afterInterrupt === null ? AFTER_INTERRUPT + AFTER_TERMINATE : 60_000;
    timers.push(setTimeout(() => send("SIGKILL"), limit));
  };
  job.onCancel = cancel;
  if (job.isCancelled) cancel();
  const [exitCode, signal] = await ended(child);
  job.onCancel = null;
  timers.forEach(clearTimeout);
  processFiles(job, step, files);
  return { exitCode, signal, signals, outputs: step.outputs, failed: step.failed };
}

function unknownShell(shell) {
  throw new Error(`unknown shell: ${shell}`);
}

function prepareFiles(temp) {
  const folder = join(temp, "_runner_file_commands");
  mkdirSync(folder, { recursive: true });
  const suffix = randomUUID();
  const files = {};
  for (const name of ["output", "env", "path", "step_summary", "state"]) {
    files[name] = join(folder, `${name}_${suffix}`);
    writeFileSync(files[name], "");
  }
  return files;
}

/** Waits for the process, and then for what it said; a process that it left behind cannot hold the job up for ever. */
function ended(child) {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve([code, signal]));
    child.on("exit", (code, signal) => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve([code, signal]);
      }, FOR_OUTPUT).unref();
    });
  });
}

/** Calls back for each line; CR alone ends one too, as it does for the runner. */
function eachLine(stream, callback) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(callback);
  });
  stream.on("close", () => rest !== "" && rest.split("\r").forEach(callback));
}

function received(job, step, line) {
  const command = parseCommand(line, step.stopToken);
  if (command === null) return job.output(line);
  if (step.stopToken !== null) {
    if (command.name === step.stopToken) step.stopToken = null;
    return job.output(line);
  }
  const { name, properties, data } = command;
  switch (name) {
    case "error":
    case "warning":
    case "notice":
      job.annotations.push({ level: name, message: job.mask(data), title: job.mask(properties.title ?? "") });
      return job.output(`##[${name}]${data}`);
    case "add-mask":
      if (data.trim() !== "") job.addMask(data);
      return;
    case "group":
      job.groups.push(job.mask(data));
      return job.output(`##[group]${data}`);
    case "set-output":
      if (!properties.name) return failed(job, step, line);
      step.outputs[properties.name] = data;
      return;
    case "stop-commands":
      step.stopToken = data;
      return;
    case "add-path":
    case "set-env":
      // Disabled for being unsafe.
      return failed(job, step, line);
    default:
      return;
  }
}

function failed(job, step, what) {
  step.failed = true;
  job.annotations.push({ level: "error", message: job.mask(`Unable to process command '${what}' successfully.`), title: "" });
}

function processFiles(job, step, files) {
  const attempt = (process) => {
    try {
      process();
    } catch (error) {
      failed(job, step, error.message);
    }
  };
  attempt(() => readLines(files.path).forEach((line) => job.prependPath.push(line)));
  attempt(() => Object.assign(job.env, readEntries(files.env)));
  attempt(() => job.summary.push(...readLines(files.step_summary).map((line) => job.mask(line))));
  attempt(() => readEntries(files.state));
  attempt(() => Object.assign(step.outputs, readEntries(files.output)));
}
