// What went wrong, said where it can be seen, and what can be done about it.

import { asksKey, told } from "./api.js";
import { at, closing, dialog, make } from "./dom.js";
import { put } from "./i18n.js";

const KNOWN = {
  0: "fault.lost", 401: "fault.key", 403: "fault.forbidden", 404: "fault.missing", 413: "fault.large",
  429: "fault.busy", 503: "fault.busy", 507: "fault.full",
};
const CODES = { insufficient_quota: "fault.quota" }; // where the number says too little

/** Say a fault: by words of the page for those that are known by code or number, and by the server's own. */
export function failed(fault) {
  const known = CODES[fault.code] ?? KNOWN[fault.status] ?? (fault.status >= 500 ? "fault.server" : "fault.said");
  notice(known, { why: fault.message }, "fault");
  if (!(fault.status >= 0)) console.error(fault); // one of the page itself
}

let timer;

/** A sentence at the edge of the page; it goes away by itself unless it is a fault. */
export function notice(key, values, kind = "note") {
  quiet();
  at("notice").dataset.kind = kind;
  at("notice").setAttribute("role", kind === "fault" ? "alert" : "status");
  at("notice").hidden = false;
  timer = setTimeout(() => {
    put(at("notice-words"), "text", key, values); // what is written into hidden nodes, nobody hears
    if (kind === "note") timer = setTimeout(quiet, 6000);
  }, 50);
}

export function quiet() {
  clearTimeout(timer);
  at("notice").hidden = true;
  at("notice-words").textContent = "";
  delete at("notice-words").dataset.text;
}

at("notice-close").addEventListener("click", quiet);

told.addEventListener("lost", () => (at("lost").hidden = false));
told.addEventListener("back", () => (at("lost").hidden = true));

asksKey(
  () =>
    new Promise((done) => {
      const field = make("input", { type: "password", id: "key", autocomplete: "off", required: true });
      const form = make(
        "form",
        { method: "dialog", on: { submit: () => (given = field.value.trim()) } },
        make("h2", { text: "key.title" }),
        make("p", { className: "quiet", text: "key.why" }),
        make("label", { htmlFor: "key", text: "key.label" }),
        field,
        make("button", { text: "key.use", className: "strong" }),
      );
      let given = null;
      const node = dialog("key.title", "small", closing(() => node), form);
      node.addEventListener("close", () => done(given));
    }),
);
