// Runs an unmodified composite action as GitHub's runner does, with GitHub's own parser and evaluator.
//
//   node --import tests/pipeline/github/hooks.mjs tests/pipeline/github/runner.mjs REQUEST.json
//
// The request has `action` (`{ directory, repository, ref }`), `with`, `env`, `github`, `temp`, `tool_cache`, `secrets`, `after_interrupt`.
// What happened is one JSON document on standard output. SIGTERM cancels the job, as a click on the button does.

import { mkdirSync, readFileSync } from "node:fs";
import { runAction } from "./composite.mjs";
import { Job } from "./job.mjs";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
mkdirSync(request.temp, { recursive: true });
const job = new Job({ ...request, base: { ...process.env }, toolCache: request.tool_cache, afterInterrupt: request.after_interrupt });
process.on("SIGTERM", () => job.cancel());
const result = await runAction(job, request.action, request.with);
process.stdout.write(`${JSON.stringify({ ...result, ...job.report() }, null, 1)}\n`);
process.exit(0);
