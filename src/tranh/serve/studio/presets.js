// Settings by name: three of the page's, made of a tool's own, and those that the user keeps.

import { button, closing, dialog, make, recall, remember, sign } from "./dom.js";
import { modelNamed } from "./tools.js";

const PACES = { quick: 1 / 3, usual: null, fine: 2 };

const stepsOf = (field, model) => field.default ?? modelNamed(model)?.about?.steps ?? 24;

/** The row of presets. `form` has tool, model, fields, values and set(values). */
export function presets(form) {
  const node = make("div", { className: "presets", role: "group", label: "presets" });
  let mine = recall("presets", []);

  function show() {
    const steps = form.fields().find((field) => field.name === "steps");
    const now = JSON.stringify(form.values());
    const chip = (given, values) => {
      const pressed = String(now === JSON.stringify(values));
      return button(given.text, () => form.set(values), { className: "chip", ariaPressed: pressed, ...given });
    };
    const paces = !steps ? [] : Object.entries(PACES).map(([name, pace]) => {
      const base = stepsOf(steps, form.model());
      const value = pace && Math.min(steps.high ?? 1000, Math.max(steps.low ?? 1, Math.round(pace * base)));
      const told = { text: `preset.${name}`, hint: `preset.${name}.hint`, values: { n: value ?? base } };
      return chip(told, value ? { steps: value } : {});
    });
    const own = mine.filter((one) => one.tool === form.tool()).map((one) =>
      make("span", { className: "own" }, chip({ textContent: one.name }, one.values),
        sign("close", "preset.remove", () => keep(mine.filter((other) => other !== one)), { className: "sign tiny" })));
    node.replaceChildren(...paces, ...own, sign("plus", "preset.keep", name, { className: "chip sign" }));
  }

  function keep(all) {
    mine = all;
    remember("presets", mine);
    show();
  }

  function name() {
    const field = make("input", { id: "preset-name", required: true, maxLength: 30, autocomplete: "off" });
    const submit = () => keep([...mine, { name: field.value.trim(), tool: form.tool(), values: form.values() }]);
    const window = dialog("preset.keep", "small", closing(() => window),
      make("form", { method: "dialog", on: { submit } },
        make("h2", { text: "preset.keep" }), make("p", { className: "quiet", text: "preset.what" }),
        make("label", { htmlFor: "preset-name", text: "preset.name" }), field,
        make("button", { className: "strong", text: "keep" })));
  }
  return { node, show };
}
