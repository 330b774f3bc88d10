// Two pictures, one over the other, with a slider between them.

import { show } from "./api.js";
import { closing, dialog, make } from "./dom.js";
import { about } from "./pictures.js";

export function compare(left, right) {
  const sides = [left, right].map((image) => make("img", { alt: about(image), draggable: false }));
  [left, right].forEach((image, k) => show(sides[k], image.url).catch(() => null));
  const slider = make("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, label: "compare.slider" });
  const stage = make("div", { className: "comparing" }, sides, make("span", { className: "edge", ariaHidden: "true" }), slider);
  const move = () => stage.style.setProperty("--share", `${slider.value}%`);
  stage.style.setProperty("--ratio", left.width / left.height);
  slider.addEventListener("input", move);
  const caption = (image, name) => make("p", {}, make("b", { text: name }), ` ${about(image)} · ${image.seed ?? ""}`);
  const node = dialog("compare", "wide", closing(() => node), make("h2", { text: "compare" }), stage,
    make("div", { className: "captions" }, caption(left, "compare.left"), caption(right, "compare.right")));
  move();
  slider.focus();
}
