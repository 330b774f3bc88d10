// Boxes by numbers and by drawing: a part of the picture (edges are shares of its side), or how far it is drawn on.

import { show } from "./api.js";
import { make } from "./dom.js";

const EDGES = ["left", "top", "right", "bottom"];

function inputs(values, low, high, changed) {
  return EDGES.map((edge, k) =>
    make("input", {
      type: "number", min: low, max: high, step: 0.05, value: values[k],
      label: `edge.${edge}`, hint: `edge.${edge}`, on: { input: changed },
    }));
}

/** Four numbers and a picture of them. `extend` is outside the picture, any other box lies in it. */
export function box(field, form, given = null) {
  const start = given ?? field.default ?? [0, 0, 1, 1];
  const outside = field.name === "extend";
  const numbers = inputs(start, field.low ?? 0, field.high ?? 1, () => (draw(), form.changed()));
  const inner = make("span", { className: "inner" });
  const under = make("img", { alt: "", hidden: true });
  const plan = make("div", { className: outside ? "plan beyond" : "plan", ariaHidden: "true" }, outside ? null : under, inner);
  const read = () => numbers.map((one) => Math.min(Number(one.max), Math.max(Number(one.min), Number(one.value) || 0)));
  const node = make("div", { className: "boxed" }, plan, make("div", { className: "edges" }, numbers));

  function draw() {
    const [left, top, right, bottom] = read();
    if (outside) {
      const [width, height] = [left + 1 + right, top + 1 + bottom];
      plan.style.aspectRatio = `${width} / ${height}`;
      place(left / width, top / height, 1 / width, 1 / height);
    } else place(Math.min(left, right), Math.min(top, bottom), Math.abs(right - left), Math.abs(bottom - top));
  }
  function place(left, top, width, height) {
    const share = (value) => `${100 * value}%`;
    Object.assign(inner.style, { left: share(left), top: share(top), width: share(width), height: share(height) });
  }
  function set(value) {
    (value ?? start).forEach((one, k) => (numbers[k].value = Math.round(1000 * one) / 1000));
    draw();
  }

  let corner = null;
  if (!outside) {
    const at = (event) => {
      const frame = plan.getBoundingClientRect();
      const place = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
      return place.map((one) => Math.min(1, Math.max(0, one)));
    };
    plan.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      plan.setPointerCapture(event.pointerId);
      corner = at(event);
    });
    plan.addEventListener("pointermove", (event) => {
      if (!corner || !plan.hasPointerCapture(event.pointerId)) return;
      const there = at(event);
      set([0, 1].map((k) => Math.min(corner[k], there[k])).concat([0, 1].map((k) => Math.max(corner[k], there[k]))));
      form.changed();
    });
    plan.addEventListener("pointerup", () => (corner = null));
  }

  function refresh() {
    const picture = form.picture();
    const target = outside ? inner : plan;
    under.hidden = outside || !picture?.src;
    if (picture?.src) show(under, picture.src).catch(() => null);
    target.classList.toggle("pictured", Boolean(picture?.src));
    if (outside) inner.replaceChildren(...(picture?.src ? [Object.assign(under, { hidden: false })] : []));
  }
  draw();
  refresh();
  const same = (value) => value.every((one, k) => one === start[k]);
  return { node, set, refresh, read, get: () => (field.default && same(read()) ? undefined : read()) };
}

/** A part of the picture that has a prompt of its own. */
export function region(value, form) {
  const told = { label: "regions.prompt", placeholder: "regions.prompt", on: { input: form.changed } };
  const words = make("input", { value: value.prompt, ...told });
  const place = box({ name: "region", low: 0, high: 1 }, form, value.box);
  const node = make("div", { className: "region" }, words, place.node);
  return { node, get: () => ({ prompt: words.value.trim(), box: place.read() }) };
}
