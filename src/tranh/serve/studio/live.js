// Cards of jobs that are under way or failed: preview, progress, what is left, and what can be done.

import { at, button, make, sign } from "./dom.js";
import { duration, put, say } from "./i18n.js";
import { cancel, changes, dismiss, ended, forget, retry } from "./jobs.js";
import { about } from "./pictures.js";
import { restore } from "./form.js";
import { failed, notice } from "./faults.js";

const MOST = 9; // previews of one job side by side
const cards = new Map(); // id of a job -> its card

export const announce = (key, values) => {
  at("said").textContent = "";
  setTimeout(() => (at("said").textContent = say(key, values)), 50);
};

function card(job) {
  const frame = make("div", { className: "preview" });
  const title = make("p", { className: "asked", textContent: about(job.record) });
  const bar = make("progress", { max: 100, label: "progress" });
  const state = make("p", { className: "quiet state" });
  const row = make("div", { className: "row" });
  const node = make("li", { className: "job", data: { job: job.record.id } }, frame, make("div", {}, title, bar, state, row));
  let shown = "";
  let quarter = 0;

  function preview() {
    const seen = Object.values(job.previews).slice(0, MOST);
    while (frame.children.length < seen.length) frame.append(make("img", { alt: "" }));
    seen.forEach((one, k) => frame.children[k].src !== one && (frame.children[k].src = one));
    frame.style.setProperty("--columns", Math.ceil(Math.sqrt(seen.length)));
  }

  function buttons(status) {
    if (status === shown) return;
    shown = status;
    if (!ended(job)) row.replaceChildren(button("cancel", () => cancel(job).catch(failed)));
    else
      row.replaceChildren(
        button("again", () => retry(job).catch(failed), { className: "strong" }),
        button("settings.use", () => restore({ ...job.record.request, model: job.record.model, tool: job.record.tool })),
        sign("close", "dismiss", () => (status === "failed" ? forget(job).catch(failed) : dismiss(job))),
      );
  }

  function update() {
    const { status, progress, step, steps, queue_position: place, eta_s: left, error } = job.record;
    node.dataset.status = status;
    buttons(status);
    preview();
    bar.hidden = ended(job);
    const eta = left ? say("eta", { time: duration(left) }) : "";
    if (status === "queued") {
      bar.removeAttribute("value");
      state.textContent = [place ? say("queued.behind", { n: place }) : say("queued.next"), eta].filter(Boolean).join(" · ");
    } else if (status === "in_progress") {
      const share = steps ? Math.max(progress ?? 0, Math.floor((100 * step) / steps)) : (progress ?? 0);
      bar.value = Math.min(99, share);
      state.textContent = [steps ? say("step", { step, steps }) : say("begun"), eta].filter(Boolean).join(" · ");
      if (Math.floor(share / 25) > quarter) announce("said.progress", { n: 25 * (quarter = Math.floor(share / 25)) });
    } else if (status === "failed") put(state, "text", error ? "failed.why" : "failed", { why: error?.message ?? "" });
    else if (status === "cancelled") put(state, "text", "cancelled");
  }

  return { node, update };
}

changes.addEventListener("job", ({ job }) => {
  const { id, status } = job.record;
  if (status === "completed") {
    cards.get(id)?.node.remove();
    cards.delete(id);
    return;
  }
  if (!cards.has(id)) {
    cards.set(id, card(job));
    at("live").prepend(cards.get(id).node);
  }
  cards.get(id).update();
});

changes.addEventListener("gone", ({ job }) => {
  cards.get(job.record.id)?.node.remove();
  cards.delete(job.record.id);
});

changes.addEventListener("done", ({ job }) => {
  const { status, images, error, notices } = job.record;
  if (status === "completed") announce("said.completed", { n: images.length, notices: notices.join(" ") });
  else announce(`said.${status}`, { why: error?.message ?? "" });
  if (notices.length) notice("fault.said", { why: notices.join(" ") }, "told"); // it stays until it is closed
  document.title = document.hidden ? say("title.done") : say("title");
});

document.addEventListener("visibilitychange", () => (document.title = say("title")));
document.addEventListener("language", () => cards.forEach((one) => one.update()));
