// The form of a tool, made of its fields: what is asked, remembered, restored from pictures, and ordered.

import { show } from "./api.js";
import { at, icon, make, sign } from "./dom.js";
import { draft, own, put as keep, replace, save, value } from "./draft.js";
import { failed, notice, quiet } from "./faults.js";
import { blame, nameOf, widget } from "./fields.js";
import { hints } from "./hints.js";
import { knows, put, say } from "./i18n.js";
import { submit } from "./jobs.js";
import { presets } from "./presets.js";
import { fileOf, kept } from "./slot.js";
import * as tools from "./tools.js";

const FIRST = ["picture", "mask", "key", "box"]; // kinds that stand on top, in the order of the tool
const SEEN = ["prompt", "strength", "factor", "attribute", "count", "seed"];
const SEEDS = 2 ** 32;
const narrow = matchMedia("(max-width: 52rem)"); // what is drawn is then below the form

let widgets = new Map();
let pictures = {}; // name of a field -> what its slot holds; it goes along from tool to tool
let row = null;
let hinted = null;

const seen = ({ field }) => FIRST.includes(field.kind) || SEEN.includes(field.name) || (field.needed && !field.many);
const pictureFirst = (field) => (field.kind === "picture" ? -1 : 0);
const place = ({ field }) => (FIRST.includes(field.kind) ? pictureFirst(field) : 1 + SEEN.indexOf(field.name));

const tool = () => tools.tool(draft.tool);
const fields = () => tools.fieldsOf(tool(), draft.model);
const settable = (name) => !["text", "box", "region", undefined].includes(widgets.get(name)?.field.kind);
const pictured = (kind) => ["picture", "mask", "key"].includes(kind);

/** What widgets may ask of the form. */
const form = {
  picture: () => widgets.get("image")?.value?.() ?? null,
  pictured: () => (form.changed(), refresh()),
  changed() {
    for (const [name, one] of widgets) {
      if (one.field.kind === "picture") pictures[name] = one.value();
      if (!pictured(one.field.kind)) keep(draft.tool, name, one.get());
      blame(one, null);
    }
    save();
    row?.show();
  },
};

function refresh() {
  for (const one of widgets.values()) one.refresh?.();
}

const spend = () => Math.floor(Math.random() * SEEDS);

/** The seed has a lock, which keeps it, and dice. */
function seeded(one) {
  const lock = sign("open", "seed.lock", () => locked(!draft.locked), { id: "lock" });
  const dice = sign("dice", "seed.dice", () => (one.set(spend()), form.changed()), { id: "dice" });
  const line = make("div", { className: "row seed" });
  one.control.replaceWith(line);
  line.append(one.control, dice, lock);
  one.control.placeholder = "";
  one.control.addEventListener("input", () => locked(true));
  one.lock = lock;
}

function locked(is) {
  draft.locked = is;
  const lock = widgets.get("seed")?.lock;
  lock?.setAttribute("aria-pressed", String(is));
  lock?.replaceChildren(icon(is ? "lock" : "open"));
  save();
}

/** Make the form of the tool and the model that are chosen. */
export function render() {
  if (!tool()) draft.tool = tools.all().find((one) => one.id === "generate")?.id ?? tools.all()[0].id;
  const able = tools.modelsOf(tool());
  if (!able.some((model) => model.id === draft.model)) draft.model = (able.find((model) => model.default) ?? able[0])?.id ?? null;
  at("tool").value = draft.tool;
  put(at("what"), "text", `title.${draft.tool}`, { otherwise: "" });
  at("model").replaceChildren(...able.map((model) => make("option", { value: model.id, textContent: model.id })));
  at("model").value = draft.model;
  put(at("draw"), "text", draft.tool === "generate" ? "draw" : "draw.edit");
  widgets = new Map(fields().map((field) => [field.name, widget(field, form)]));
  const main = [...widgets.values()].filter(seen);
  main.sort((a, b) => place(a) - place(b));
  for (const [name, one] of widgets) {
    if (one.field.kind === "picture") one.set(pictures[name] ?? null, true);
    else if (one.field.kind === "key") one.set(undefined);
    else if (one.field.kind !== "mask") one.set(value(draft.tool, name));
  }
  if (widgets.has("seed")) seeded(widgets.get("seed"));
  const prompt = widgets.get("prompt");
  hinted = null;
  if (prompt?.control) {
    prompt.control.rows = 3;
    put(prompt.control, "placeholder", knows(`say.${draft.tool}`) ? `say.${draft.tool}` : "say");
    hinted = hints(prompt.control, () => draft.model, form.changed);
    prompt.node.append(hinted.node);
    hinted.look();
  }
  row = presets({
    tool: () => draft.tool, model: () => draft.model, fields,
    values: () => Object.fromEntries(Object.entries(own(draft.tool)).filter(([name]) => settable(name))),
    set(values) {
      const words = Object.entries(own(draft.tool)).filter(([name]) => !settable(name));
      replace(draft.tool, { ...Object.fromEntries(words), ...values });
      for (const [name, one] of widgets) if (!pictured(one.field.kind)) one.set(value(draft.tool, name));
      form.changed();
    },
  });
  row.show();
  const late = ({ field }) => ["count", "seed"].includes(field.name);
  at("fields").replaceChildren(...main.filter((one) => !late(one)).map((one) => one.node), row.node,
    make("div", { className: "pair" }, main.filter(late).map((one) => one.node)));
  const rest = [...widgets.values()].filter((one) => !main.includes(one));
  at("rest").replaceChildren(...rest.map((one) => one.node));
  locked(draft.locked);
  refresh();
  save();
}

/** Choose a tool, and a model where one is named. */
export function choose(name, model = draft.model) {
  form.changed();
  Object.assign(draft, { tool: name, model });
  render();
}

function reveal() {
  if (at("compose").getBoundingClientRect().top < 0) at("compose").scrollIntoView({ block: "start" });
}

function collected() {
  const request = {};
  for (const [name, one] of widgets) {
    const told = one.get();
    const missing = one.field.needed && (told === undefined || told === null);
    if (missing) return { missing: one };
    if (told !== undefined && told !== null) request[name] = told;
  }
  return { request };
}

/** Order what the form says. */
export async function order() {
  quiet();
  await Promise.all([...widgets.values()].map((one) => one.settled?.())); // pictures on their way to the server
  const { request, missing } = collected();
  if (missing) {
    blame(missing, say("needed", { name: nameOf(missing.field.name) }));
    return;
  }
  const wrong = [...widgets.values()].find((one) => one.control?.validationMessage);
  if (wrong) {
    blame(wrong, wrong.control.validationMessage);
    return;
  }
  if (request.seeds && widgets.has("count")) {
    delete request.seed; // seeds say by themselves which pictures are drawn, and how many
    delete request.count;
  } else if (widgets.has("seed") && (!draft.locked || request.seed === undefined)) {
    request.seed = spend();
    widgets.get("seed").set(request.seed);
    form.changed();
  }
  try {
    await submit({ tool: draft.tool, model: draft.model, request });
    if (narrow.matches) at("live").scrollIntoView({ block: "nearest" });
  } catch (fault) {
    const blamed = widgets.get(fault.param);
    if (blamed && fault.status !== 429) blame(blamed, fault.message);
    else failed(fault);
  }
}

/** A picture that a job was told, by the id it tells. */
async function pictureOf(id) {
  const src = fileOf(id);
  const image = new Image();
  await show(image, src);
  await image.decode();
  return { id, src, width: image.naturalWidth, height: image.naturalHeight, about: say("slot.before") };
}

/** Put settings back into the form: all of them, the prompt or the seed. */
export async function restore(settings, what = "all") {
  const told = { ...settings, tool: settings.tool ?? settings.edit ?? "generate" };
  if (what === "all") {
    if (tools.tool(told.tool)) draft.tool = told.tool;
    if (tools.modelNamed(told.model)) draft.model = told.model;
    replace(draft.tool, {});
    for (const { name, kind } of tools.fieldsOf(tools.tool(draft.tool), draft.model))
      if (kind === "picture" && told[name]) pictures[name] = await pictureOf(told[name]).catch(() => null);
      else if (!pictured(kind) && name !== "count") keep(draft.tool, name, told[name] ?? undefined);
  } else keep(draft.tool, what, told[what]);
  if (what !== "prompt" && told.seed !== undefined) draft.locked = true;
  render();
  if (what === "all" && typeof told.mask === "string")
    widgets.get("mask")?.set({ id: told.mask, src: fileOf(told.mask), of: told.image }, true);
  notice(`restored.${what}`);
  reveal();
}

/** Begin an edit with a picture: its prompt and its seed go along. */
export function sendTo(name, image) {
  const { prompt, seed } = image.settings ?? {};
  const picture = image.src ? image : kept(image);
  pictures.image = picture;
  if (prompt) keep(name, "prompt", prompt);
  if (seed !== undefined) {
    keep(name, "seed", seed);
    draft.locked = true;
  }
  Object.assign(draft, { tool: name });
  if (prompt && tools.tool(name).fields.some((field) => field.name === "source")) keep(name, "source", prompt);
  render();
  const walk = widgets.get("keys");
  if (walk) {
    walk.set([]);
    walk.add(picture);
  }
  form.changed();
  reveal();
  (widgets.get("prompt")?.control ?? at("draw")).focus({ preventScroll: true });
}
