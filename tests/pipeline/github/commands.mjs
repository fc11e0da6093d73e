// What the runner reads from a step: commands in its output, and the files that are named to it.

import { readFileSync } from "node:fs";

// The order matters: `%25` last, so that what was escaped twice is unescaped once.
const DATA = [["%0D", "\r"], ["%0A", "\n"], ["%25", "%"]];
const PROPERTY = [["%0D", "\r"], ["%0A", "\n"], ["%3A", ":"], ["%2C", ","], ["%25", "%"]];
const OLD = [["%3B", ";"], ["%0D", "\r"], ["%0A", "\n"], ["%5D", "]"], ["%25", "%"]];

const unescape = (text, mappings) => mappings.reduce((text, [from, to]) => text.replaceAll(from, to), text);

const COMMANDS = new Set(
  ["add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher",
    "save-state", "set-env", "set-output", "stop-commands", "warning"],
);

/** Reads `::name key=value,…::data` at the start of a line, or the old `##[name key=value;…]data` anywhere in it. */
export function parseCommand(line, extra) {
  const known = (name) => COMMANDS.has(name.toLowerCase()) || name === extra;
  const command = (head, rest, separator, properties, data) => {
    const [, name, list = ""] = /^([^ ]*)(?: (.*))?$/s.exec(head);
    if (!known(name)) return null;
    const pairs = list.trim().split(separator).map((pair) => /^([^=]+)=(.+)$/s.exec(pair)).filter(Boolean);
    const named = pairs.map(([, key, value]) => [key.toLowerCase(), unescape(value, properties)]);
    return { name: name === extra ? name : name.toLowerCase(), properties: Object.fromEntries(named), data: unescape(rest, data) };
  };
  const trimmed = line.trimStart();
  const end = trimmed.startsWith("::") ? trimmed.indexOf("::", 2) : -1;
  if (end >= 0) {
    const found = command(trimmed.slice(2, end), trimmed.slice(end + 2), ",", PROPERTY, DATA);
    if (found) return found;
  }
  const start = line.indexOf("##[");
  const bracket = start < 0 ? -1 : line.indexOf("]", start);
  return bracket < 0 ? null : command(line.slice(start + 3, bracket), line.slice(bracket + 1), ";", OLD, OLD);
}

/** Reads a file of `name=value` and `name<<DELIMITER` entries, the last of a name ruling; throws where the runner would. */
export function readEntries(path) {
  const entries = {};
  const lines = readFileSync(path, "utf8").split("\n");
  if (lines.at(-1) === "") lines.pop();
  while (lines.length > 0) {
    const line = lines.shift();
    if (line === "") continue;
    const equals = line.indexOf("=");
    const heredoc = line.indexOf("<<");
    if (equals >= 0 && (heredoc < 0 || equals < heredoc)) {
      entries[line.slice(0, equals)] = line.slice(equals + 1);
      continue;
    }
    const [name, delimiter] = heredoc < 0 ? [] : [line.slice(0, heredoc), line.slice(heredoc + 2)];
    if (!name || !delimiter) throw new Error(`invalid format: ${line}`);
    const end = lines.indexOf(delimiter);
    if (end < 0) throw new Error(`matching delimiter not found: ${delimiter}`);
    entries[name] = lines.splice(0, end + 1).slice(0, -1).join("\n");
  }
  return entries;
}

/** Reads the lines of a file. */
export function readLines(path) {
  return readFileSync(path, "utf8").split("\n").filter((line) => line !== "");
}
