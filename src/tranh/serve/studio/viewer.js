// One picture, large: what made it, and everything that can be done with it.

import { get, show } from "./api.js";
import { compare } from "./compare.js";
import { button, closing, dialog, make, sign } from "./dom.js";
import { failed } from "./faults.js";
import { isFrame, screen } from "./film.js";
import { restore, sendTo } from "./form.js";
import { date } from "./i18n.js";
import { pick } from "./picker.js";
import { about, discard, download, file, like, told } from "./pictures.js";
import { check } from "./provenance.js";
import { edits } from "./tools.js";

const NOTHING = [null, undefined, "", false];
const HIDDEN = ["prompt", "understood", "hash", "language", "frame"];

const written = (value) => (value === true ? "✓" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** Settings as a list of names and values. */
export function listed(settings) {
  const shown = Object.entries(settings).filter(([name, value]) => !HIDDEN.includes(name) && !NOTHING.includes(value));
  return make("dl", {}, shown.flatMap(([name, value]) => [
    make("dt", { text: `field.${name}`, values: { otherwise: name.replaceAll("_", " ") } }),
    make("dd", name === "edit" ? { text: `tool.${value}`, values: { otherwise: value } } : { textContent: written(value) }),
  ]));
}

/** A button for every edit; `before` closes what is open. */
export const sending = (image, before) =>
  make("div", { className: "sends", role: "group", label: "send" }, edits().map((one) =>
    button(`tool.${one.id}`, () => (before(), sendTo(one.id, image)),
      { className: "chip", hint: `title.${one.id}`, values: { otherwise: one.id }, data: { send: one.id } })));

/** What a job was asked, for one of its pictures alone; an animation is one picture. */
const asked = ({ request, tool, model }, image) => ({
  ...request, tool, model, ...(!isFrame(image) && { seed: image.seed, seeds: undefined }),
});

/** Restoring by parts; a picture of the history is restored with the pictures it was made of. */
export function restoring(settings, before, image = null) {
  const put = (what) => async () => {
    before();
    const job = what === "all" && image && (await get(`api/jobs/${image.job}`).catch(() => null));
    await restore(job ? asked(job, image) : settings, what).catch(failed);
  };
  return make("div", { className: "row" },
    button("use.all", put("all"), { className: "strong" }),
    settings.prompt && button("use.prompt", put("prompt")),
    settings.seed !== undefined && button("use.seed", put("seed")));
}

export function view(image, neighbours = { of: () => null }) {
  const place = make("div", { className: "place" });
  const side = make("div", { className: "side" });
  const before = sign("left", "earlier", () => go(-1), { className: "sign step" });
  const after = sign("right", "later", () => go(1), { className: "sign step" });
  const frame = make("div", { className: "frame" }, before, place, after);
  const node = dialog("picture", "viewer", closing(() => node), frame, side);
  const close = () => node.close();

  function go(by) {
    const next = neighbours.of(image, by);
    if (next) fill((image = next));
  }

  function fill() {
    place.replaceChildren(isFrame(image) ? moving() : standing());
    before.disabled = !neighbours.of(image, -1);
    after.disabled = !neighbours.of(image, 1);
    const liked = { className: "sign heart", ariaPressed: String(image.favourite) };
    const heart = sign("heart", "favourite", () => like(image).catch(failed), liked);
    const found = make("div", { className: "found", role: "status" });
    side.replaceChildren(
      make("p", { className: "asked", textContent: about(image) }),
      image.settings.understood && image.settings.understood !== image.settings.prompt
        ? make("p", { className: "quiet", text: "understood", values: { words: image.settings.understood } }) : "",
      make("div", { className: "row" }, heart,
        sign("down", "download", () => download(image).catch(failed)),
        sign("bin", "discard", () => remove()),
        button("compare", () => pick("compare.with").then((other) => other && compare(image, other))),
        button("check", async () => check(found, await file(image)).catch(failed))),
      found,
      restoring({ ...image.settings, seed: image.seed }, close, image),
      make("h3", { text: "send" }), sending(image, close),
      listed({ ...image.settings, size: `${image.width} × ${image.height}`, created: date(image.created_at) }));
    node.dataset.image = image.id;
  }

  function standing() {
    const picture = make("img", { className: "large", alt: about(image) });
    picture.style.setProperty("--ratio", image.width / image.height);
    show(picture, image.url).catch(failed);
    return picture;
  }

  function moving() {
    const { node, ready } = screen(image);
    ready.catch(failed);
    return node;
  }

  async function remove() {
    const next = neighbours.of(image, 1) ?? neighbours.of(image, -1);
    try {
      await discard(image);
      if (next) fill((image = next));
      else node.close();
    } catch (fault) {
      failed(fault);
    }
  }

  const changed = ({ image: one }) =>
    one.id === image.id && side.querySelector(".heart").setAttribute("aria-pressed", String(one.favourite));
  told.addEventListener("changed", changed);
  node.addEventListener("close", () => {
    told.removeEventListener("changed", changed);
    document.querySelector(`#grid [data-image="${image.id}"] .tile`)?.focus();
  });
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || /INPUT|TEXTAREA/.test(event.target.tagName)) return;
    const keys = { ArrowLeft: () => go(-1), ArrowRight: () => go(1), f: () => like(image).catch(failed), Delete: remove };
    const does = keys[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });
  fill();
}
