// Lets the runner import GitHub's packages from where scripts/test installs them, and lets them import their JSON.
//
//   node --import tests/pipeline/github/hooks.mjs tests/pipeline/github/runner.mjs …

import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { isMainThread } from "node:worker_threads";

const TOOLS = new URL("../../../target/test-tools/actions/", import.meta.url);

// The hooks themselves run in a thread of their own, which loads this file again.
if (isMainThread) register(import.meta.url);

/** Finds the packages beside one another, whoever asks for them. */
export function resolve(specifier, context, next) {
  const ours = specifier.startsWith("@actions/") && context.parentURL?.startsWith("file:") && !context.parentURL.includes("/node_modules/");
  return next(specifier, ours ? { ...context, parentURL: new URL("package.json", TOOLS).href } : context);
}

/** Loads JSON without the attribute that this Node wants and the packages do not write. */
export async function load(url, context, next) {
  if (!url.startsWith("file:") || !url.endsWith(".json")) return next(url, context);
  return { format: "module", shortCircuit: true, source: `export default ${await readFile(new URL(url), "utf8")}` };
}
