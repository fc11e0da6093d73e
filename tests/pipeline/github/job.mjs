// What the steps of a job share: variables, search path, masks, the log, and whether the job is cancelled.

/** A job on a runner of its own. */
export class Job {
  /** `base` is the machine's environment, `env` the job's, `secrets` are masked. */
  constructor({ base, env = {}, github, temp, toolCache, secrets = [], afterInterrupt = null }) {
    Object.assign(this, { base, temp, github, afterInterrupt });
    this.env = { ...env };
    this.runner = { os: "Linux", arch: process.arch === "arm64" ? "ARM64" : "X64", name: "test", environment: "self-hosted", temp, tool_cache: toolCache };
    this.prependPath = [];
    this.masks = [];
    this.log = [];
    this.annotations = [];
    this.groups = [];
    this.summary = [];
    this.isCancelled = false;
    this.onCancel = null;
    secrets.forEach((secret) => this.addMask(secret));
  }

  addMask(value) {
    // Each line of a value is a secret too.
    for (const part of [value, ...value.split("\n")]) {
      if (part.trim() !== "" && !this.masks.includes(part)) this.masks.push(part);
    }
    this.masks.sort((a, b) => b.length - a.length);
  }

  mask(text) {
    return this.masks.reduce((text, secret) => text.replaceAll(secret, "***"), text);
  }

  output(line) {
    this.log.push(this.mask(line));
  }

  runnerVariables() {
    const variables = Object.entries(this.runner).map(([name, value]) => [`RUNNER_${name.toUpperCase()}`, String(value)]);
    return { CI: "true", GITHUB_ACTIONS: "true", ...Object.fromEntries(variables) };
  }

  cancel() {
    this.isCancelled = true;
    this.onCancel?.();
  }

  report() {
    const { log, annotations, groups, summary } = this;
    return { log, annotations, groups, summary };
  }
}
