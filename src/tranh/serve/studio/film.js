// Animations: the frames of one job, shown as what they are.

import { get, show } from "./api.js";
import { icon, make, sign } from "./dom.js";
import { gives } from "./tools.js";

const RATE = 12; // frames a second where the settings do not say
const still = matchMedia("(prefers-reduced-motion: reduce)");

export const isFrame = (image) => gives(image.settings?.edit) === "animation";

/** All frames of the animation that a picture is one of, in order. */
export const frames = async (image) => (await get(`api/jobs/${image.job}`)).images.sort((a, b) => a.index - b.index);

/** A canvas on which frames are played; `shown` hears the number of each. */
export function film(image, shown = () => {}) {
  const canvas = make("canvas", { className: "film", width: image.width, height: image.height, ariaHidden: "true" });
  let loaded = [];
  let now = 0;
  let timer = null;

  const ready = frames(image).then(async (all) => {
    loaded = all.map(() => new Image());
    await Promise.all(all.map(async (one, k) => (await show(loaded[k], one.url), loaded[k].decode())));
    go(0);
  });

  function go(to) {
    if (!loaded.length) return;
    now = (to + loaded.length) % loaded.length;
    canvas.getContext("2d").drawImage(loaded[now], 0, 0, canvas.width, canvas.height);
    shown(now, loaded.length);
  }
  function stop() {
    clearInterval(timer);
    timer = null;
  }
  function play() {
    stop();
    timer = setInterval(() => (canvas.isConnected ? go(now + 1) : stop()), 1000 / (image.settings.fps ?? RATE));
  }
  return { canvas, ready, go, play, stop, playing: () => timer !== null };
}

/** A film with what it takes to stop it and to look at any frame. */
export function screen(image) {
  const slider = make("input", { type: "range", min: 0, max: 0, value: 0, label: "film.frame" });
  const pause = sign("play", "film.play", () => (one.playing() ? one.stop() : one.play(), said()), { data: { film: "play" } });
  const one = film(image, (k, many) => Object.assign(slider, { max: many - 1, value: k }));
  const said = () => {
    pause.setAttribute("aria-pressed", String(one.playing()));
    pause.replaceChildren(icon(one.playing() ? "pause" : "play"));
  };
  slider.addEventListener("input", () => (one.stop(), said(), one.go(Number(slider.value))));
  one.canvas.classList.add("large");
  one.canvas.style.setProperty("--ratio", image.width / image.height);
  const ready = one.ready.then(() => (still.matches || one.play(), said()));
  said();
  return { node: make("div", { className: "screen" }, one.canvas, make("div", { className: "row" }, pause, slider)), ready };
}

/** Play over a tile while it is pointed at. */
export function hovering(tile, image) {
  let one = null;
  const begin = () => {
    if (still.matches) return;
    one ??= film(image);
    if (!one.canvas.isConnected) tile.append(one.canvas);
    one.ready.then(() => tile.matches(":hover, :focus-visible") && one.play()).catch(() => null);
  };
  const end = () => {
    one?.stop();
    one?.canvas.remove();
  };
  for (const kind of ["pointerenter", "focus"]) tile.addEventListener(kind, begin);
  for (const kind of ["pointerleave", "blur"]) tile.addEventListener(kind, end);
}
