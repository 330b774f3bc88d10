// What the model makes of a prompt while it is typed: words it was never taught, with near ones a click away.

import { post } from "./api.js";
import { button, later, make } from "./dom.js";

const PAUSE = 250; // milliseconds after the last letter

/** Hints under a text; `model` says whom to ask. */
export function hints(control, model, changed) {
  const node = make("div", { className: "hints", role: "status" });
  let asking = null;

  function replace(word, near) {
    const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    control.value = control.value.replace(new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, "iu"), () => near);
    control.focus();
    changed();
    look();
  }

  const look = later(PAUSE, async () => {
    asking?.abort();
    asking = new AbortController();
    const prompt = control.value.trim();
    if (!prompt) {
      node.replaceChildren();
      return;
    }
    try {
      const { unknown, notices } = await post("api/prompt", { prompt, model: model() }, { signal: asking.signal });
      const said = unknown.filter(({ near }) => near.length).map(({ word }) => `'${word}'`);
      const more = notices.filter((one) => !said.some((word) => one.includes(word))); // nothing is said twice
      node.replaceChildren(
        ...unknown.map(({ word, near }) =>
          make("p", {}, make("span", { text: near.length ? "unknown.near" : "unknown", values: { word } }),
            near.map((one) => button(undefined, () => replace(word, one), { className: "near", textContent: one })))),
        ...more.map((one) => make("p", { className: "quiet", textContent: one })),
      );
    } catch {
      // a hint that does not come is none
    }
  });
  control.addEventListener("input", look);
  return { node, look };
}
