// A picture that is dropped anywhere on the page, or pasted: its settings are told and can be put back.

import { show } from "./api.js";
import { button, closing, dialog, make } from "./dom.js";
import { failed, notice } from "./faults.js";
import { check } from "./provenance.js";
import { DRAGGED, sent } from "./slot.js";
import { listed, restoring, sending } from "./viewer.js";

let inside = 0; // nodes of the page that something is dragged over

const over = (is) => document.body.classList.toggle("dragging", is);
const file = (event) => event.dataTransfer.types.includes("Files");
const ours = (event) => file(event) || event.dataTransfer.types.includes(DRAGGED);

addEventListener("dragenter", (event) => file(event) && over((inside += 1) > 0));
addEventListener("dragleave", (event) => file(event) && over((inside = Math.max(0, inside - 1)) > 0));
addEventListener("dragover", (event) => ours(event) && event.preventDefault());
addEventListener("drop", (event) => {
  over((inside = 0) > 0);
  if (event.defaultPrevented || !ours(event)) return; // a slot of the form has it, or it is text
  event.preventDefault();
  const given = [...event.dataTransfer.files].find((one) => one.type.startsWith("image/"));
  if (given) tell(given);
  else if (event.dataTransfer.files.length) notice("drop.odd", {}, "fault");
});
addEventListener("paste", (event) => {
  const given = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (given) tell(given);
});

/** Send a file, and show what it tells. */
export async function tell(given) {
  let picture;
  try {
    picture = await sent(given);
  } catch (fault) {
    failed(fault);
    return;
  }
  const { settings } = picture;
  const found = make("div", { className: "found", role: "status" });
  const large = make("img", { className: "large", alt: picture.about });
  const node = dialog("drop.title", "viewer", closing(() => node), make("div", { className: "frame" }, large),
    make("div", { className: "side" },
      make("p", { className: "asked", textContent: settings?.prompt ?? given.name }),
      settings ? restoring(settings, () => node.close()) : make("p", { className: "quiet", text: "drop.none" }),
      make("h3", { text: "send" }), sending({ ...picture, settings: settings ?? {} }, () => node.close()),
      button("check", () => check(found, given)), found,
      settings && listed(settings)));
  large.style.setProperty("--ratio", picture.width / picture.height);
  show(large, picture.src).catch(failed);
}
