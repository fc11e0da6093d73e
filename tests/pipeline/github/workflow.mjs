// Runs an unmodified workflow as GitHub does: its jobs in the order of their needs, each on a runner of its own.
//
//   node --import tests/pipeline/github/hooks.mjs tests/pipeline/github/workflow.mjs REQUEST.json
//
// The request has `workflow` (a file), `uses` (the directory of each composite action by its name), `repository` (what a checkout
// gets), `secrets`, `vars`, `inputs`, `github`, `folder`. Actions of GitHub's have stand-ins: checkout copies the repository,
// upload-artifact keeps files in `folder/artifacts`. What happened is one JSON document on standard output.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } from "@actions/workflow-parser";
import { runAction, variables } from "./composite.mjs";
import { holds, valueOf } from "./expressions.mjs";
import { Job } from "./job.mjs";
import { runScript } from "./step.mjs";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const results = await runWorkflow(request);
process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
process.exit(0);

async function runWorkflow(request) {
  const name = basename(request.workflow);
  const parsed = parseWorkflow({ name, content: readFileSync(request.workflow, "utf8") }, new NoOperationTraceWriter());
  const template = await convertWorkflowTemplate(parsed.context, parsed.value);
  if (template.errors?.length) throw new Error(template.errors.map((error) => error.Message).join("\n"));
  const common = { secrets: request.secrets ?? {}, vars: request.vars ?? {}, inputs: request.inputs ?? {}, strategy: {}, matrix: {} };
  const env = valueOf(template.env, common, {}) ?? {};
  const rawJobs = parsed.value.find("jobs");
  const results = {};
  // A job comes after those it needs.
  const waiting = [...template.jobs];
  while (waiting.length > 0) {
    const index = waiting.findIndex((job) => (job.needs ?? []).every((need) => results[need.value]));
    if (index < 0) throw new Error("the jobs need one another");
    const [definition] = waiting.splice(index, 1);
    const id = definition.id.value;
    const needs = Object.fromEntries((definition.needs ?? []).map((need) => [need.value, results[need.value]]));
    const ended = Object.values(needs).map((need) => need.result);
    const conclusion = ["failure", "cancelled", "skipped"].find((result) => ended.includes(result)) ?? "success";
    if (!holds(definition.if.expression, { ...common, needs, github: request.github }, { conclusion })) {
      results[id] = { result: "skipped", steps: [] };
      continue;
    }
    results[id] = await runJob(request, definition, rawJobs.find(id), { ...common, needs }, env);
  }
  return results;
}

async function runJob(request, definition, raw, common, workflowEnv) {
  const folder = join(request.folder, definition.id.value);
  const github = { ...request.github, workspace: join(folder, "work", basename(request.repository)), job: definition.id.value };
  const temp = join(folder, "temp");
  for (const directory of [github.workspace, temp]) mkdirSync(directory, { recursive: true });
  const secrets = Object.values(common.secrets);
  const env = { ...workflowEnv, ...valueOf(definition.env, { ...common, github }, {}) };
  const job = new Job({ base: { ...process.env }, env, github, temp, toolCache: join(folder, "tools"), secrets });
  const status = { conclusion: "success" };
  const steps = {};
  const report = [];
  for (const [index, step] of definition.steps.entries()) {
    const contexts = { ...common, github, steps, env: job.env, runner: job.runner, job: { status: status.conclusion } };
    const name = valueOf(step.name, contexts, status) ?? step.uses?.value ?? "run";
    if (!holds(step.if.expression, contexts, status)) {
      report.push({ name, conclusion: "skipped" });
      continue;
    }
    const tokens = [...raw.find("steps")][index];
    const given = (key) => valueOf(tokens.find(key), contexts, status);
    const own = given("env") ?? {};
    const result = step.run
      ? await script(job, valueOf(step.run, contexts, status), { ...job.env, ...own })
      : await use(request, job, step.uses.value, given("with") ?? {}, own);
    steps[step.id] = { outputs: result.outputs, outcome: result.conclusion, conclusion: result.conclusion };
    report.push({ name, ...result });
    if (result.conclusion !== "success") status.conclusion = result.conclusion;
  }
  const told = Object.entries(valueOf(definition.outputs, { ...common, github, steps, env: job.env, runner: job.runner }, status) ?? {});
  // GitHub drops an output in which there is a secret.
  const outputs = Object.fromEntries(told.filter(([, value]) => job.mask(value) === value));
  return { result: status.conclusion, steps: report, outputs, ...job.report() };
}

async function script(job, script, env) {
  const all = { ...env, ...variables(job.github), ...job.runnerVariables() };
  const { exitCode, outputs } = await runScript(job, { script, shell: "bash", directory: job.github.workspace, env: all });
  return { conclusion: exitCode === 0 ? "success" : "failure", outputs };
}

async function use(request, job, reference, given, env) {
  const [name, ref] = reference.split("@");
  const workspace = job.github.workspace;
  if (request.uses[name]) return runAction(job, { directory: request.uses[name], repository: name, ref }, given, env);
  switch (name) {
    case "actions/checkout":
      for (const entry of readdirSync(workspace)) rmSync(join(workspace, entry), { recursive: true });
      cpSync(request.repository, workspace, { recursive: true });
      return { conclusion: "success", outputs: {} };
    case "actions/upload-artifact":
      for (const path of given.path.split("\n").filter((path) => path !== "" && existsSync(join(workspace, path)))) {
        cpSync(join(workspace, path), join(request.folder, "artifacts", given.name, path));
      }
      return { conclusion: "success", outputs: {} };
    default:
      throw new Error(`there is no stand-in for ${name}`);
  }
}
