// One widget for every kind of field. Each has `node`, `get()` (undefined: nothing is said) and `set(value)`.

import { box, region } from "./boxes.js";
import { button, make, sign } from "./dom.js";
import { put, say } from "./i18n.js";
import { pick } from "./picker.js";
import { fileOf, kept, maskSlot, slot } from "./slot.js";

const named = (name) => ["text", `field.${name}`, { otherwise: name.replaceAll("_", " ") }];
const id = (field) => `field-${field.name}`;

const wrongly = (field) => make("p", { className: "wrong", id: `wrong-${field.name}`, role: "alert", hidden: true });

/** Label, control and a place for what is wrong with it. */
function framed(field, control, ...beside) {
  const label = make("label", { htmlFor: control.id || undefined });
  put(label, ...named(field.name));
  const wrong = wrongly(field);
  control.setAttribute("aria-describedby", wrong.id);
  return make("div", { className: `field ${field.kind}`, data: { field: field.name } }, label, control, ...beside, wrong);
}

/** The same for several controls under one name. */
function grouped(field, ...inside) {
  const label = make("p", { className: "label", id: `label-${field.name}` });
  put(label, ...named(field.name));
  const wrong = wrongly(field);
  const told = { "aria-labelledby": label.id, "aria-describedby": wrong.id };
  const about = { role: "group", ...told, data: { field: field.name } };
  return make("div", { className: `field ${field.kind}`, ...about }, label, ...inside, wrong);
}

function text(field, form) {
  const long = field.high === null || field.high > 200;
  const told = { id: id(field), autocomplete: "off", spellcheck: false };
  const control = make(long ? "textarea" : "input", long ? { ...told, rows: 2 } : told);
  if (field.high) control.maxLength = field.high;
  control.value = field.default ?? "";
  control.addEventListener("input", form.changed);
  return {
    node: framed(field, control), control,
    get: () => control.value.trim() || undefined,
    set: (value) => (control.value = value ?? ""),
  };
}

function number(field, form) {
  const whole = field.kind === "int";
  if (field.choices?.length) return choice(field, form);
  const sliding = !whole && field.default !== null && field.low === 0 && field.high <= 1;
  const control = make("input", {
    id: id(field), type: sliding ? "range" : "number", min: field.low ?? undefined, max: field.high ?? undefined,
    step: whole ? 1 : sliding ? 0.01 : "any", inputMode: whole ? "numeric" : "decimal", placeholder: undefined,
  });
  const shown = sliding && make("output", { htmlFor: control.id });
  const unset = sliding ? String(field.default) : "";
  const update = () => shown && (shown.textContent = Number(control.value).toFixed(2));
  if (field.default !== null) control.setAttribute("placeholder", field.default);
  else put(control, "placeholder", "own");
  control.value = unset;
  control.addEventListener("input", () => (update(), form.changed()));
  update();
  return {
    node: framed(field, control, shown || null), control,
    get: () => (control.value === "" || (sliding && control.value === unset) ? undefined : Number(control.value)),
    set: (value) => ((control.value = value ?? unset), update()),
  };
}

function bool(field, form) {
  const control = make("input", { type: "checkbox", id: id(field), checked: field.default === true });
  control.addEventListener("change", form.changed);
  return {
    node: framed(field, control), control,
    get: () => (control.checked === (field.default === true) ? undefined : control.checked),
    set: (value) => (control.checked = value ?? field.default === true),
  };
}

function choice(field, form) {
  const control = make("select", { id: id(field) });
  if (field.default === null) control.append(make("option", { value: "", text: "own" }));
  for (const one of field.choices ?? []) {
    const option = make("option", { value: JSON.stringify(one) });
    put(option, "text", `choice.${one}`, { otherwise: field.name === "size" ? `${one} px` : String(one) });
    control.append(option);
  }
  const unset = field.default === null ? "" : JSON.stringify(field.default);
  control.value = unset;
  control.addEventListener("change", form.changed);
  return {
    node: framed(field, control), control,
    get: () => (control.value === unset || control.value === "" ? undefined : JSON.parse(control.value)),
    set(value) {
      control.value = value === undefined || value === null ? unset : JSON.stringify(value);
      if (control.selectedIndex < 0) control.value = unset; // a model without this choice
    },
  };
}

/** Several numbers, as they are typed: 1, 2, 3. */
function numbers(field, form) {
  const one = text({ ...field, high: 2000 }, form);
  one.control.rows = 1;
  put(one.control, "placeholder", "numbers");
  return {
    ...one,
    get: () => one.control.value.match(/-?[\d.]+/g)?.map(Number),
    set: (value) => (one.control.value = (value ?? []).join(", ")),
  };
}

function picture(field, form) {
  const place = slot(field.name, form.pictured);
  return { ...place, node: grouped(field, place.node) };
}

function mask(field, form) {
  const place = maskSlot(field.name, form.changed, form.picture);
  return { ...place, node: grouped(field, place.node) };
}

/** Sentences and pictures one after the other, as a walk passes them. */
function keys(field, form) {
  const list = make("ol", { className: "keys" });
  const node = grouped(field, list, make("div", { className: "row" },
    button("keys.sentence", () => add("").querySelector("textarea").focus()),
    button("keys.picture", () => pick().then((image) => image && add(kept(image))))));

  function add(value) {
    const row = make("li");
    const place = typeof value === "string" ? null : slot("key", form.changed);
    const told = { rows: 1, value, label: "keys.sentence", on: { input: form.changed } };
    const control = place ? place.node : make("textarea", told);
    place?.set(value, true);
    row.read = () => (place ? place.get() && { image: place.get() } : control.value.trim() || null);
    row.append(control,
      sign("up", "keys.up", () => (row.previousElementSibling?.before(row), form.changed())),
      sign("close", "keys.remove", () => (row.remove(), form.changed())));
    list.append(row);
    form.changed();
    return row;
  }
  return {
    node, add,
    get() {
      const found = [...list.children].map((row) => row.read()).filter(Boolean);
      return found.length ? found : undefined;
    },
    set(value) {
      list.replaceChildren();
      for (const one of value ?? ["", ""]) add(one.image ? { id: one.image, src: fileOf(one.image) } : one);
    },
  };
}

function regions(field, form) {
  const list = make("ul", { className: "keys" });
  const node = grouped(field, list, button("regions.add", () => add()));
  function add(value = { prompt: "", box: [0, 0, 0.5, 0.5] }) {
    const one = region(value, form);
    const row = make("li", {}, one.node, sign("close", "keys.remove", () => (row.remove(), form.changed())));
    row.read = one.get;
    list.append(row);
    form.changed();
  }
  return {
    node,
    get() {
      const found = [...list.children].map((row) => row.read()).filter((one) => one.prompt);
      return found.length ? found : undefined;
    },
    set(value) {
      list.replaceChildren();
      for (const one of value ?? []) add(one);
    },
  };
}

const WIDGETS = {
  text, int: number, float: number, bool, choice, picture, mask, key: keys, region: regions,
  box: (field, form) => {
    const one = box(field, form);
    return { ...one, node: grouped(field, one.node) };
  },
};

/** The widget of a field. A kind that is not known yet is told as text. */
export function widget(field, form) {
  const single = ["key", "region"].includes(field.kind);
  const build = field.many && !single ? numbers : (WIDGETS[field.kind] ?? text);
  return { field, ...build(field, form) };
}

const usable = (control) => !control.disabled && control.checkVisibility();

/** Say what is wrong with a field, beside it; nothing takes the words away. */
export function blame(one, words) {
  const wrong = one.node.querySelector(".wrong");
  wrong.hidden = !words;
  wrong.textContent = words ?? "";
  for (const control of one.node.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  if (!words) return;
  one.node.closest("details")?.setAttribute("open", "");
  const control = one.control ?? [...one.node.querySelectorAll("textarea, input, button")].find(usable);
  control?.setAttribute("aria-invalid", "true");
  control?.focus();
}

export const nameOf = (name) => say(`field.${name}`, { otherwise: name.replaceAll("_", " ") });
