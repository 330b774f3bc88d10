// The dialog in which a mask is painted over a picture: by mouse, finger, pen or keyboard.

import { show } from "./api.js";
import { Mask } from "./canvas.js";
import { button, closing, dialog, make, sign } from "./dom.js";
import { put } from "./i18n.js";

const TOOLS = { brush: "b", erase: "e", box: "x" };

/** Paint; gives the deeds (to go on from) and the file, or null where it was closed. */
export function paint(picture, deeds = []) {
  return new Promise((done) => {
    let result = null;
    const node = dialog("mask.title", "wide", ...Object.values(parts(picture, deeds, finish)));
    node.addEventListener("close", () => done(result));
    node.querySelector("canvas").focus();
    async function finish(mask) {
      result = mask && { deeds: mask.done, file: await mask.file() };
      node.close();
    }
  });
}

function parts(picture, deeds, finish) {
  const canvas = make("canvas", { tabIndex: 0, role: "application", label: "mask.canvas" });
  const mask = new Mask(canvas, picture.width, picture.height);
  const side = Math.max(picture.width, picture.height);
  const ring = make("span", { className: "ring", ariaHidden: "true" });
  const under = make("img", { alt: "" });
  show(under, picture.src);
  const stage = make("div", { className: "painting" }, make("div", { className: "sheet" }, under, canvas, ring));
  stage.firstChild.style.setProperty("--ratio", picture.width / picture.height);
  const begun = Math.max(2, Math.round(side / 10));
  const size = make("input", { type: "range", id: "brush", min: 1, max: Math.ceil(side / 2), value: begun });
  const state = make("p", { className: "unseen", role: "status" });
  const wrong = make("p", { className: "wrong", role: "alert", text: "drop.odd", hidden: true });
  let tool = "brush";
  let cursor = [picture.width / 2, picture.height / 2];
  let corner = null; // where the brush was put down, or a box begun
  let held = false; // by a pointer

  /** The brush goes up: after anything else there is no stroke to go on with. */
  const lift = () => {
    if (corner) put(state, "text", "mask.up");
    corner = null;
  };
  const act = (deed) => (lift(), mask.add(deed));
  const back = () => (lift(), mask.undo());
  const forth = () => (lift(), mask.redo());
  const choose = (name) => {
    lift();
    tool = name;
    for (const [one, control] of Object.entries(tools)) control.setAttribute("aria-pressed", String(one === name));
    ringed();
  };
  const tools = Object.fromEntries(
    Object.keys(TOOLS).map((name) => [name, sign(name, `mask.${name}`, () => choose(name), { data: { tool: name } })]),
  );
  const undo = sign("undo", "mask.undo", back);
  const redo = sign("redo", "mask.redo", forth);
  const use = button("mask.use", () => finish(mask), { className: "strong" });
  const file = make("input", { type: "file", accept: "image/png,image/jpeg,image/webp", className: "unseen", id: "mask-file" });

  mask.changed = () => {
    undo.disabled = !mask.done.length;
    redo.disabled = !mask.undone.length;
    if (!held) use.disabled = mask.empty;
  };
  const erasing = () => tool === "erase";

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * picture.width) / box.width, ((event.clientY - box.top) * picture.height) / box.height];
  }

  function ringed() {
    const shown = tool === "box" ? 0.02 * side : Number(size.value);
    Object.assign(ring.style, {
      left: `${(100 * cursor[0]) / picture.width}%`, top: `${(100 * cursor[1]) / picture.height}%`,
      width: `${(100 * shown) / picture.width}%`,
    });
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    event.preventDefault();
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    corner = cursor = place(event);
    held = true;
    if (tool === "box") mask.add({ kind: "box", box: [...corner, ...corner] });
    else mask.begin(cursor, Number(size.value), erasing());
    ringed();
  });
  canvas.addEventListener("pointermove", (event) => {
    cursor = place(event);
    ringed();
    if (!canvas.hasPointerCapture(event.pointerId) || !corner) return;
    if (tool === "box") {
      mask.done.at(-1).box = [...corner, ...cursor];
      mask.again();
    } else mask.draw((event.getCoalescedEvents?.() ?? []).concat(event).map(place));
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => {
      corner = null;
      held = false;
      mask.changed();
    });

  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const by = KEYS[event.key];
    const from = cursor;
    if (by) {
      const far = event.shiftKey ? side / 8 : Math.max(1, side / 64);
      cursor = [0, 1].map((k) => Math.min([picture.width, picture.height][k], Math.max(0, from[k] + far * by[k])));
      if (corner && tool !== "box") {
        mask.draw([cursor]);
        mask.changed();
      }
    } else if (event.key === " " && corner) {
      if (tool === "box") mask.add({ kind: "box", box: [...corner, ...cursor] });
      lift(); // pressed once the brush is down, pressed again it is up
    } else if (event.key === " ") {
      corner = cursor;
      if (tool !== "box") mask.begin(cursor, Number(size.value), erasing());
      put(state, "text", "mask.down");
    } else return;
    event.preventDefault();
    ringed();
  });
  const body = make(
    "div",
    {
      className: "mask",
      on: {
        keydown(event) {
          const name = Object.keys(TOOLS).find((one) => TOOLS[one] === event.key);
          if (event.ctrlKey || event.metaKey) {
            if (event.key.toLowerCase() === "z") event.shiftKey ? forth() : back();
            else if (event.key === "y") forth();
            else if (event.key === "Enter" && !use.disabled) finish(mask);
            else return;
          } else if (name) choose(name);
          else if (event.key === "i") act({ kind: "invert" });
          else if (event.key === "[" || event.key === "]") {
            size.value = Number(size.value) + (event.key === "]" ? 1 : -1) * Math.max(1, side / 32);
            ringed();
          } else return;
          event.preventDefault();
          event.stopPropagation();
        },
      },
    },
    make("p", { className: "quiet", text: "mask.how" }),
    make("p", { className: "quiet by-keyboard", text: "mask.keys" }),
    stage,
    make("div", { className: "row tools", role: "toolbar", label: "mask.tools" }, Object.values(tools), undo, redo,
      sign("invert", "mask.invert", () => act({ kind: "invert" })),
      sign("bin", "mask.clear", () => act({ kind: "clear" })),
      make("label", { htmlFor: "brush", text: "mask.size" }), size),
    make("div", { className: "row" }, use,
      make("label", { htmlFor: "mask-file", className: "button", text: "mask.file" }), file, state),
    wrong,
  );
  size.addEventListener("input", ringed);
  file.addEventListener("change", async () => {
    const [given] = file.files;
    if (!given) return;
    const image = await createImageBitmap(given).catch(() => null);
    wrong.hidden = Boolean(image);
    if (image) act({ kind: "image", image });
    file.value = "";
  });
  mask.done = [...deeds];
  mask.again();
  choose("brush");
  return { close: closing(() => body.closest("dialog")), title: make("h2", { text: "mask.title" }), body };
}
