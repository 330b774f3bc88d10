// The server as the page sees it: requests, streams of events, faults in words, and a key where one is asked for.

import { recall, remember, wait } from "./dom.js";

/** What went wrong: `status` of HTTP (0: no answer), `code` and `param` as the server says. */
export class Fault extends Error {
  constructor(message, status = 0, error = {}) {
    super(message);
    Object.assign(this, { status, code: error.code ?? null, param: error.param ?? null });
  }
}

export const told = new EventTarget(); // "lost", "back": the server is gone, and answers again
let lost = false;
let asking = null; // the promise of a key, while one is typed in
let declined = false; // none was given: it is asked for again when the user does something
let ask = async () => null;

/** How a key is asked for: a function that gives it, or null. */
export const asksKey = (how) => (ask = how);

export const key = () => recall("key", "", "sessionStorage");

/** An address of the server, wherever the page lies. */
export const address = (path) => path.replace(/^\//, "");

const authorized = (headers) => (key() ? { ...headers, authorization: `Bearer ${key()}` } : headers);

async function reach(path, options) {
  try {
    const reply = await fetch(address(path), { cache: "no-store", ...options, headers: authorized(options.headers) });
    if (lost) answered();
    return reply;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!lost) gone();
    throw new Fault("lost", 0);
  }
}

function answered() {
  lost = false;
  told.dispatchEvent(new Event("back"));
}

async function gone() {
  lost = true;
  told.dispatchEvent(new Event("lost"));
  for (let pause = 500; lost; pause = Math.min(4000, pause * 1.5)) {
    await wait(pause);
    await fetch("api/status", { cache: "no-store", headers: authorized({}) }).then(
      (reply) => lost && reply.status < 500 && answered(),
      () => null,
    );
  }
}

/** Resolves once the server answers. */
export const back = () =>
  lost ? new Promise((done) => told.addEventListener("back", done, { once: true })) : Promise.resolve();

/** The reply to a request; a key is asked for where one is needed. */
export async function send(path, { json, ...options } = {}) {
  const headers = json === undefined ? {} : { "content-type": "application/json" };
  const whole = { ...options, headers: { ...headers, ...options.headers } };
  if (json !== undefined) whole.body = JSON.stringify(json);
  for (;;) {
    const used = key();
    const reply = await reach(path, whole);
    if (reply.ok) return reply;
    const wanted = reply.status === 401 && (used !== key() || (whole.method ?? "GET") !== "GET" || !declined);
    if (wanted && (used !== key() || (await asked()))) continue;
    const error = await reply.json().then((body) => body.error ?? {}, () => ({}));
    throw new Fault(error.message ?? `HTTP ${reply.status}`, reply.status, error);
  }
}

async function asked() {
  asking ??= ask().finally(() => (asking = null));
  const given = await asking;
  declined = !given;
  if (given) remember("key", given, "sessionStorage");
  return Boolean(given);
}

export const call = async (path, options) => {
  const reply = await send(path, options);
  return reply.status === 204 ? null : reply.json().catch(() => null);
};

export const get = (path, options) => call(path, options);
export const post = (path, json = {}, options = {}) => call(path, { method: "POST", json, ...options });
export const patch = (path, json) => call(path, { method: "PATCH", json });
export const remove = (path) => call(path, { method: "DELETE" });

export function upload(file) {
  const body = new FormData();
  body.append("file", file, file.name ?? "picture.png");
  return call("api/uploads", { method: "POST", body });
}

/** Events of a stream, as they come: {id, event, data}. */
export async function* events(path, { after = 0, signal } = {}) {
  const headers = after ? { "last-event-id": String(after), accept: "text/event-stream" } : { accept: "text/event-stream" };
  const reply = await send(path, { headers, signal });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const found = parse(block);
      if (found) yield found;
    }
  }
}

function parse(block) {
  const found = { id: null, event: "message", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "data") found.data += found.data ? `\n${value}` : value;
    else if (name in found) found[name] = value;
  }
  return found.data ? { ...found, data: JSON.parse(found.data) } : null; // a comment keeps the line open, no more
}

/** Show a picture of the server: with a key it is fetched, since an address in a page carries none. */
export async function show(image, path) {
  image.dataset.path = path;
  if (!key() || path.startsWith("blob:")) {
    image.src = address(path);
    return;
  }
  const blob = await (await send(path)).blob();
  if (image.dataset.path !== path) return; // another is wanted by now
  const here = URL.createObjectURL(blob);
  image.addEventListener("load", () => URL.revokeObjectURL(here), { once: true });
  image.src = here;
}

/** Save what the server answers as a file. */
export async function save(path, name, options) {
  const here = URL.createObjectURL(await (await send(path, options)).blob());
  const link = document.createElement("a");
  Object.assign(link, { href: here, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(here), 10_000);
}
