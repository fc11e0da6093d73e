// A composite action as the runner executes it: defaults, steps with their conditions, outputs.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NoOperationTraceWriter } from "@actions/workflow-parser";
import { convertActionTemplate } from "@actions/workflow-parser/actions/action-template";
import { parseAction } from "@actions/workflow-parser/actions/action-parser";
import { holds, valueOf } from "./expressions.mjs";
import { runScript } from "./step.mjs";

// What of the `github` context becomes a variable, beside the files.
const EXPORTED = [
  "action_path", "action_ref", "action_repository", "action", "actor", "actor_id", "api_url", "base_ref", "event_name", "event_path",
  "graphql_url", "head_ref", "job", "ref_name", "ref_protected", "ref_type", "ref", "repository", "repository_id",
  "repository_owner", "retention_days", "run_attempt", "run_id", "run_number", "server_url", "sha", "triggering_actor", "workflow",
  "workflow_ref", "workflow_sha", "workspace",
];

/** Reads `action.yml`; throws with what GitHub's parser minds about it. */
export function readAction(directory) {
  const name = ["action.yml", "action.yaml"].find((name) => existsSync(join(directory, name)));
  const content = readFileSync(join(directory, name), "utf8");
  const { context, value } = parseAction({ name, content }, new NoOperationTraceWriter());
  const action = convertActionTemplate(context, value);
  const errors = context.errors.getErrors();
  if (errors.length > 0) throw new Error(errors.map((error) => error.message).join("\n"));
  // The model has neither the shell nor the directory of a step, the tokens have.
  const raw = value.find("runs").find("steps");
  return { ...action, raw: [...raw] };
}

/** Runs an action; returns `{ conclusion, outputs, steps }`. `reference` is `{ directory, repository, ref }`. */
export async function runAction(job, reference, given, env = {}) {
  const action = readAction(reference.directory);
  const github = { ...job.github, action_path: reference.directory, action_repository: reference.repository, action_ref: reference.ref };
  const status = { conclusion: "success" };
  const contexts = () => ({ github, inputs, steps, env: { ...job.env, ...env }, runner: job.runner, job: { status: status.conclusion }, strategy: {}, matrix: {} });
  const inputs = {};
  const steps = {};
  const report = [];

  for (const [name, value] of Object.entries(given)) {
    if (action.inputs.some((input) => input.id === name)) inputs[name] = String(value);
    else job.annotations.push({ level: "warning", message: `Unexpected input(s) '${name}'`, title: "" });
  }
  for (const input of action.inputs) inputs[input.id] ??= valueOf(input.default, { github }, status) ?? "";

  for (const [index, step] of action.runs.steps.entries()) {
    if (job.isCancelled) status.conclusion = "cancelled";
    const ran = { id: step.id, name: valueOf(step.name, contexts(), status) ?? "run", conclusion: "skipped" };
    report.push(ran);
    if (!holds(step.if.expression, contexts(), status)) {
      steps[step.id] = { outputs: {}, outcome: "skipped", conclusion: "skipped" };
      continue;
    }
    if (!step.run) throw new Error(`a composite action that uses others is not supported: ${step.uses}`);
    const raw = action.raw[index];
    const own = valueOf(step.env, contexts(), status) ?? {};
    const stepContexts = { ...contexts(), env: { ...job.env, ...env, ...own } };
    const property = (name) => valueOf(raw.find(name), stepContexts, status);
    const script = valueOf(step.run, stepContexts, status);
    job.output(`##[group]Run ${script.split("\n")[0]}`);
    for (const [name, value] of Object.entries(stepContexts.env)) job.output(`  ${name}: ${value}`);
    job.output("##[endgroup]");
    const result = await runScript(job, {
      script,
      shell: property("shell"),
      directory: join(job.github.workspace, property("working-directory") ?? ""),
      // Within a step the action is the step, which comes from no repository.
      env: { ...stepContexts.env, ...variables({ ...github, action_repository: null, action_ref: null }), ...job.runnerVariables() },
    });
    const { exitCode, outputs, signals, signal, failed } = result;
    const outcome = signals.length > 0 ? "cancelled" : exitCode === 0 && !failed ? "success" : "failure";
    if (outcome === "failure") job.output(`##[error]Process completed with exit code ${exitCode}.`);
    const conclusion = outcome === "failure" && step["continue-on-error"] === true ? "success" : outcome;
    steps[step.id] = { outputs, outcome, conclusion };
    Object.assign(ran, { conclusion, exit_code: exitCode, signal, signals, outputs });
    if (conclusion !== "success" && status.conclusion === "success") status.conclusion = conclusion;
  }

  const outputs = {};
  for (const output of action.outputs ?? []) outputs[output.id] = valueOf(output.value, contexts(), status);
  return { conclusion: status.conclusion, outputs, steps: report };
}

/** Returns the variables that a step gets of the `github` context. */
export function variables(github) {
  const exported = EXPORTED.filter((name) => github[name] !== null && github[name] !== undefined);
  return Object.fromEntries(exported.map((name) => [`GITHUB_${name.toUpperCase()}`, String(github[name])]));
}
