// Evaluates what GitHub's parser made of `${{ }}`, with GitHub's evaluator.

import { data, Evaluator, Lexer, Parser } from "@actions/expressions";
import { isBasicExpression, isMapping, isScalar, isSequence } from "@actions/workflow-parser";

/** Turns plain values into the evaluator's. */
export function toData(value) {
  if (value === null || value === undefined) return new data.Null();
  if (typeof value === "boolean") return new data.BooleanData(value);
  if (typeof value === "number") return new data.NumberData(value);
  if (Array.isArray(value)) return new data.Array(...value.map(toData));
  if (typeof value === "object") {
    return new data.Dictionary(...Object.entries(value).map(([key, value]) => ({ key, value: toData(value) })));
  }
  return new data.StringData(String(value));
}

/** Evaluates an expression; `status` is what `success()`, `failure()` and `cancelled()` answer by. */
export function evaluate(expression, contexts, status) {
  const answers = {
    success: () => status.conclusion === "success",
    failure: () => status.conclusion === "failure",
    cancelled: () => status.conclusion === "cancelled",
    always: () => true,
  };
  const functions = new Map();
  for (const [name, answer] of Object.entries(answers)) {
    functions.set(name, { name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(answer()) });
  }
  const tree = new Parser(new Lexer(expression).lex().tokens, Object.keys(contexts), [...functions.values()]).parse();
  return new Evaluator(tree, toData(contexts), functions).evaluate();
}

/** Says whether an expression holds, as `if:` takes it. */
export function holds(expression, contexts, status) {
  const negated = evaluate(`!(${expression})`, contexts, status);
  return !negated.value;
}

/** Evaluates a token of the parser's, with all that is in it. */
export function valueOf(token, contexts, status) {
  if (token === undefined) return undefined;
  if (isBasicExpression(token)) return evaluate(outdented(token), contexts, status).coerceString();
  if (isScalar(token)) return token.toString();
  if (isSequence(token)) return [...token].map((item) => valueOf(item, contexts, status));
  if (isMapping(token)) {
    return Object.fromEntries([...token].map(({ key, value }) => [key.toString(), valueOf(value, contexts, status)]));
  }
  throw new Error(`cannot evaluate ${token.typeName()}`);
}

/** Returns the expression of a token. Of a block (`|`) the parser keeps the indentation, for editors; GitHub's runner does not. */
function outdented(token) {
  if (!token.blockScalarHeader) return token.expression;
  if (token.blockScalarHeader !== "|") throw new Error(`a block with ${token.blockScalarHeader} is not supported`);
  const [indentation] = /^ */.exec(token.source);
  return token.expression.replace(`format('${indentation}`, "format('").replaceAll(`\n${indentation}`, "\n");
}
