// What the form holds, remembered across reloads. Words, seed and count go along from tool to tool; the rest is each tool's own.

import { recall, remember } from "./dom.js";

const SHARED = ["prompt", "negative_prompt", "seed", "count"];
const kept = recall("draft", { tool: "generate", model: null, locked: false, shared: {}, own: {} });

export const draft = kept;
export const save = () => remember("draft", kept);

export const value = (tool, name) => (SHARED.includes(name) ? kept.shared[name] : kept.own[tool]?.[name]);

export function put(tool, name, value) {
  const place = SHARED.includes(name) ? kept.shared : (kept.own[tool] ??= {});
  if (value === undefined) delete place[name];
  else place[name] = value;
}

/** A tool's own values: all that a preset may hold. */
export const own = (tool) => ({ ...kept.own[tool] });
export const replace = (tool, values) => (kept.own[tool] = { ...values });
