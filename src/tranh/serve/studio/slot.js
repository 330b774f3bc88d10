// A place for a picture in a form: dropped, taken from a file, or from the history.

import { show, upload } from "./api.js";
import { button, make, sign } from "./dom.js";
import { failed } from "./faults.js";
import { paint } from "./mask.js";
import { pick } from "./picker.js";
import { about } from "./pictures.js";

export const TYPES = "image/png,image/jpeg,image/webp";
export const DRAGGED = "application/x-tranh-image"; // a picture of the history, as JSON

/** A picture of the history as a form keeps it. */
export const kept = ({ id, url, width, height, settings }) => ({ id, src: url, width, height, about: about({ settings }) });

/** Where the file of a picture inside a job's request is: a file that was sent is named by its SHA-256. */
export const fileOf = (id) => `api/${/^[0-9a-f]{64}$/.test(id) ? "uploads" : "images"}/${id}/file`;

/** A file of the user's, sent to the server. */
export async function sent(file) {
  const { id, width, height, settings } = await upload(file);
  return { id, src: fileOf(id), width, height, about: settings?.prompt || file.name, settings };
}

export async function dropped(transfer) {
  const own = transfer.getData(DRAGGED);
  if (own) return kept(JSON.parse(own));
  const file = [...transfer.files].find((one) => one.type.startsWith("image/"));
  return file ? sent(file) : null;
}

let count = 0;

export function slot(name, changed) {
  const id = `file-${(count += 1)}`;
  const picture = make("img", { alt: "", hidden: true });
  const input = make("input", { type: "file", accept: TYPES, id, className: "unseen", label: "slot.file" });
  const clear = sign("close", "slot.clear", () => set(null), { hidden: true });
  const node = make(
    "div",
    { className: "slot", role: "group", data: { slot: name } },
    picture,
    make("div", { className: "row" },
      make("label", { htmlFor: id, className: "button", text: "slot.file" }), input,
      button("slot.history", () => pick().then((image) => image && set(kept(image)))), clear),
  );
  let value = null;
  let coming = Promise.resolve();

  function set(given, quiet = false) {
    value = given;
    picture.hidden = !value?.src;
    clear.hidden = !value;
    picture.alt = value?.about ?? "";
    if (value?.src) show(picture, value.src).catch(failed);
    if (!quiet) changed();
  }
  const take = (given) => (coming = given.then((one) => one && set(one)).catch(failed));
  input.addEventListener("change", () => {
    if (input.files[0]) take(sent(input.files[0]));
    input.value = "";
  });
  node.addEventListener("dragover", (event) => event.preventDefault());
  node.addEventListener("drop", (event) => {
    event.preventDefault(); // and so the page knows that it is none of its own
    take(dropped(event.dataTransfer));
  });
  return { node, get: () => value?.id, set, value: () => value, settled: () => coming };
}

/** A mask, painted over whatever picture the form has. */
export function maskSlot(name, changed, pictured) {
  const shown = make("img", { alt: "", hidden: true });
  const open = button("mask.open", work);
  const clear = sign("close", "mask.none", () => set(null), { hidden: true });
  const row = make("div", { className: "row" }, open, clear);
  const node = make("div", { className: "slot", role: "group", data: { slot: name } }, shown, row);
  let value = null;
  let coming = Promise.resolve();

  function set(given, quiet = false) {
    value = given;
    shown.hidden = clear.hidden = !value;
    if (value) show(shown, value.src).catch(failed);
    if (!quiet) changed();
  }

  function work() {
    const picture = pictured();
    if (picture) coming = worked(picture).catch(failed);
  }

  async function worked(picture) {
    const made = await paint(picture, value?.deeds);
    if (made) set({ ...(await sent(made.file)), deeds: made.deeds, of: picture.id });
  }

  return {
    node, set, get: () => value?.id, value: () => value, settled: () => coming,
    /** Another picture is there: a mask of the old one does not go with it. */
    refresh() {
      const picture = pictured();
      open.disabled = !picture;
      if (value && value.of !== picture?.id) set(null, true);
    },
  };
}
