// The tools and models of the server: what each is told, and which model has it.

import { get } from "./api.js";
import { learn } from "./i18n.js";

let tools = new Map();
let models = [];

export async function load() {
  const [listed, drawn] = await Promise.all([get("api/tools"), get("api/models")]);
  models = drawn.data;
  tools = new Map(listed.data.map((tool) => [tool.id, tool]));
  for (const tool of tools.values()) if (tool.title) learn(`title.${tool.id}`, tool.title);
}

export const all = () => [...tools.values()];
export const tool = (name) => tools.get(name);
export const gives = (name) => tools.get(name)?.gives;
export const modelsOf = (one) => models.filter((model) => !one.models || one.models.includes(model.id));

/** The tools that begin from a picture, and a model of the server has. */
export const edits = () =>
  all().filter((one) => modelsOf(one).length && one.fields.some((field) => field.kind === "picture" || field.kind === "key"));

/** Fields of a tool as they are for a model. */
export const fieldsOf = (one, model) => one.fields.filter((field) => !field.models || field.models.includes(model));

export const modelNamed = (id) => models.find((one) => one.id === id);
