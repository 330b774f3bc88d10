// The page begins: language, look, keys, and what is read anew when the server is back.

import { told } from "./api.js";
import { at, make, recall, remember } from "./dom.js";
import "./drop.js";
import { draft } from "./draft.js";
import { failed } from "./faults.js";
import { choose, order, render } from "./form.js";
import { load } from "./gallery.js";
import { first, put, speak } from "./i18n.js";
import { attach, cancelNewest } from "./jobs.js";
import "./live.js";
import * as tools from "./tools.js";

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function look(theme) {
  if (theme) root.dataset.theme = theme;
  at("theme").setAttribute("aria-pressed", String((root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark"));
}

at("theme").addEventListener("click", () => {
  const theme = at("theme").getAttribute("aria-pressed") === "true" ? "light" : "dark";
  remember("theme", theme);
  look(theme);
});
dark.addEventListener("change", () => look());

for (const one of document.querySelectorAll("[data-language]"))
  one.addEventListener("click", async () => {
    remember("language", one.dataset.language);
    await speak(one.dataset.language).catch(failed);
  });

at("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  order();
});
at("tool").addEventListener("change", () => choose(at("tool").value));
at("model").addEventListener("change", () => choose(draft.tool, at("model").value));

addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return; // the key ends a word of an input method
  if (document.querySelector("dialog[open]")) return;
  const draws = event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (draws || (event.repeat && event.key === "Enter" && event.target.matches("#compose :not(textarea)"))) event.preventDefault();
  if (event.repeat) return; // a key that is held down orders, and cancels, once
  if (draws) order();
  else if (event.key === "Escape" && !event.defaultPrevented) {
    const cancelled = cancelNewest();
    if (cancelled) cancelled.catch(failed);
  }
});

function offer() {
  at("tool").replaceChildren(...tools.all().filter((one) => tools.modelsOf(one).length).map((one) => {
    const option = make("option", { value: one.id });
    put(option, "text", `tool.${one.id}`, { otherwise: one.id });
    return option;
  }));
}

async function begin() {
  await tools.load();
  offer();
  render();
  at("compose").hidden = false;
  await Promise.all([attach(), load()]);
}

told.addEventListener("back", () => (tools.all().length ? Promise.all([attach(), load()]) : begin()).catch(failed));

look(recall("theme"));
await speak(first(recall("language")));
await begin().catch(failed);
