// Making nodes, and remembering small things. Words go in as text, never as markup.

import { put } from "./i18n.js";

export const at = (id) => document.getElementById(id);

/** A node. `text`, `label`, `hint`, `placeholder` are keys of words, `values` what is put into them; `on` has its listeners. */
export function make(tag, given = {}, ...children) {
  const { text, label, hint, placeholder, values, on = {}, data = {}, ...rest } = given;
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(rest))
    if (value === undefined || value === null || value === false) continue;
    else if (name in node && name !== "list" && name !== "form") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  Object.assign(node.dataset, data);
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  if (text) put(node, "text", text, values);
  if (label) put(node, "label", label, values);
  if (hint) put(node, "hint", hint, values);
  if (placeholder) put(node, "placeholder", placeholder, values);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const button = (text, click, given = {}) =>
  make("button", { type: "button", text, ...given, on: { click, ...given.on } });

/** A button that shows a sign, and says in words what it does. */
export const sign = (name, label, click, given = {}) =>
  make("button", { type: "button", label, hint: label, className: "sign", ...given, on: { click, ...given.on } }, icon(name));

const SIGNS = {
  heart: "M12 20 4.5 12.6a4.7 4.7 0 0 1 6.6-6.7l.9.9.9-.9a4.7 4.7 0 0 1 6.6 6.7z",
  dice: "M4.5 4.5h15v15h-15zM8.5 8.5v.01M15.5 15.5v.01M12 12v.01M15.5 8.5v.01M8.5 15.5v.01",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  open: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 6.8-1.2",
  close: "M6 6l12 12M18 6 6 18",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
  brush: "M19 4c-5 2-9 6-10 9l2 2c3-1 7-5 9-10zM9 14c-3 0-4 2-5 6 4-1 6-2 6-5",
  erase: "M4 15l8-9 7 6-7 8H8zM10 20h10",
  box: "M5 6h14v12H5z",
  undo: "M9 6 4 11l5 5M4 11h10a5 5 0 0 1 0 9h-3",
  redo: "M15 6l5 5-5 5M20 11H10a5 5 0 0 0 0 9h3",
  invert: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  moon: "M19 14A8 8 0 0 1 10 5a7.5 7.5 0 1 0 9 9z",
  play: "M8 5l11 7-11 7z",
  pause: "M8.5 5v14M15.5 5v14",
  pick: "M5 12l5 5L20 7",
  up: "M12 20V8M7 12l5-5 5 5M5 4h14",
  plus: "M12 5v14M5 12h14",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SIGNS[name]);
  svg.append(path);
  return svg;
}

/** A dialog of its own, shown at once; it goes away when it is closed. */
export function dialog(label, className, ...children) {
  const node = make("dialog", { label, className }, ...children);
  document.body.append(node);
  node.addEventListener("click", (event) => event.target === node && node.close()); // beside it
  node.addEventListener("close", () => node.remove());
  node.showModal();
  return node;
}

export const closing = (node) => sign("close", "close", () => node().close(), { className: "sign close" });

export function recall(name, otherwise = null, store = "localStorage") {
  try {
    return JSON.parse(window[store].getItem(`tranh.${name}`)) ?? otherwise;
  } catch {
    return otherwise; // a browser that keeps nothing, or what is no longer understood
  }
}

export function remember(name, value, store = "localStorage") {
  try {
    window[store].setItem(`tranh.${name}`, JSON.stringify(value));
  } catch {
    // asked again next time
  }
}

export function later(milliseconds, work) {
  let timer;
  return (...told) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...told), milliseconds);
  };
}

export const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
