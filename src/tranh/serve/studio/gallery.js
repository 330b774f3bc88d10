// The history: finished pictures, newest first, page by page; favourites, a choice of several, and arrows from one to the next.

import { show } from "./api.js";
import { compare } from "./compare.js";
import { at, button, make, sign } from "./dom.js";
import { failed } from "./faults.js";
import { hovering, isFrame } from "./film.js";
import { put } from "./i18n.js";
import { changes } from "./jobs.js";
import { about, discard, like, page, told, zip } from "./pictures.js";
import { DRAGGED } from "./slot.js";
import { view } from "./viewer.js";

const MANY = 30;

let images = []; // as they are shown
let cursor = null;
let favourites = false;
let choosing = false;
const chosen = new Set();
const tiles = new Map(); // id -> tile

function tile(image) {
  const picture = make("img", { alt: about(image), loading: "lazy", draggable: false });
  picture.addEventListener("error", () => node.classList.add("broken"));
  show(picture, image.thumb).catch(() => null);
  const heart = sign("heart", "favourite", () => like(image).catch(failed), { className: "sign heart", tabIndex: -1 });
  const open = make("button", { type: "button", className: "tile", tabIndex: -1, draggable: true, on: {
    click: () => (choosing ? toggle(image) : view(image, neighbours)),
    dragstart: (event) => event.dataTransfer.setData(DRAGGED, JSON.stringify(image)),
  } }, picture, isFrame(image) && make("span", { className: "badge", text: "moves" }));
  const node = make("li", { data: { image: image.id } }, open, heart);
  if (isFrame(image)) hovering(open, image);
  const update = () => {
    heart.setAttribute("aria-pressed", String(image.favourite));
    if (choosing) open.setAttribute("aria-pressed", String(chosen.has(image)));
    else open.removeAttribute("aria-pressed");
  };
  update();
  return { node, open, update, image };
}

const neighbours = { of: (image, by) => images[images.indexOf(image) + by] ?? null };

function toggle(image) {
  if (!chosen.delete(image)) chosen.add(image);
  tiles.get(image.id)?.update();
  bar();
}

function place(image, first = false) {
  if (tiles.has(image.id) || (favourites && !image.favourite)) return;
  if (isFrame(image) && images.some((one) => one.job === image.job)) return; // one tile for the whole animation
  const one = tile(image);
  tiles.set(image.id, one);
  images[first ? "unshift" : "push"](image);
  at("grid")[first ? "prepend" : "append"](one.node);
  one.open.tabIndex = images.length === 1 ? 0 : -1;
  at("empty").hidden = true;
}

function drop(image) {
  const index = images.findIndex((one) => one.id === image.id);
  if (index < 0) return;
  const focused = tiles.get(image.id).node.contains(document.activeElement);
  chosen.delete(images[index]);
  images.splice(index, 1);
  tiles.get(image.id).node.remove();
  tiles.delete(image.id);
  if (images.length) go(Math.min(index, images.length - 1), focused);
  at("empty").hidden = images.length > 0;
  bar();
}

async function older() {
  const query = { limit: MANY, ...(favourites && { favourite: true }), ...(cursor && { cursor }) };
  const found = await page(query);
  cursor = found.next;
  for (const image of found.data) place(image);
  at("older").hidden = !cursor;
  at("empty").hidden = images.length > 0;
}

/** Read the history anew. */
export async function load() {
  images = [];
  tiles.clear();
  chosen.clear();
  cursor = null;
  at("grid").replaceChildren();
  await older();
  bar();
}

function bar() {
  at("choose").setAttribute("aria-pressed", String(choosing));
  at("only").setAttribute("aria-pressed", String(favourites));
  at("chosen").hidden = !choosing;
  put(at("chosen-count"), "text", "chosen", { n: chosen.size });
  for (const one of at("chosen").querySelectorAll("button")) one.disabled = !chosen.size;
  at("compare").disabled = chosen.size !== 2;
}

function choice(is) {
  choosing = is;
  chosen.clear();
  for (const one of tiles.values()) one.update();
  bar();
}

const each = (work) => async () => {
  try {
    for (const image of [...chosen]) await work(image);
    choice(false);
  } catch (fault) {
    failed(fault);
  }
};

/** Focus on the picture of an index; one of the gallery is reached by Tab, the rest by arrows. */
function go(index, focus = true) {
  const one = tiles.get(images[index]?.id);
  if (!one) return;
  for (const other of tiles.values()) other.open.tabIndex = -1;
  one.open.tabIndex = 0;
  if (focus) one.open.focus();
}

function columns() {
  const [first, ...rest] = [...at("grid").children].map((node) => node.offsetTop);
  const found = rest.findIndex((top) => top > first);
  return found < 0 ? images.length : found + 1;
}

const KEYS = {
  ArrowLeft: (k) => k - 1, ArrowRight: (k) => k + 1, ArrowUp: (k) => k - columns(), ArrowDown: (k) => k + columns(),
  Home: () => 0, End: () => images.length - 1,
};

at("grid").addEventListener("keydown", (event) => {
  const image = images.find((one) => one.id === event.target.closest("li")?.dataset.image);
  if (!image || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in KEYS) go(KEYS[event.key](images.indexOf(image)));
  else if (event.key === "f") like(image).catch(failed);
  else if (event.key === "Delete") discard(image).catch(failed);
  else return;
  event.preventDefault();
});

at("bar").append(
  button("history", () => select(false), { id: "every", className: "tab" }),
  button("favourites", () => select(true), { id: "only", className: "tab" }),
  button("choose", () => choice(!choosing), { id: "choose" }),
);
at("chosen").append(
  make("span", { id: "chosen-count" }),
  button("download", () => zip([...chosen]).catch(failed), { id: "zip" }),
  button("compare", () => compare(...chosen), { id: "compare" }),
  button("favourite", each((image) => image.favourite || like(image))),
  button("discard", each(discard), { className: "grave" }),
);

function select(only) {
  favourites = only;
  at("every").setAttribute("aria-pressed", String(!only));
  load().catch(failed);
}
at("every").setAttribute("aria-pressed", "true");
at("older").addEventListener("click", () => older().catch(failed));

told.addEventListener("changed", ({ image }) => {
  const one = tiles.get(image.id);
  if (one) Object.assign(one.image, image);
  one?.update();
  if (favourites && !image.favourite) drop(image);
});
told.addEventListener("discarded", ({ image }) => drop(image));
changes.addEventListener("done", ({ job }) => {
  for (const image of job.record.images) place(image, true);
});
