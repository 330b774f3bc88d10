// What a file tells of where it comes from: its marks, as the server finds them.

import { call } from "./api.js";
import { make } from "./dom.js";

function marks(file) {
  const body = new FormData();
  body.append("file", file, file.name);
  return call("v1/content_provenance_checks", { method: "POST", body });
}

/** Ask, and write the answer into a node. */
export async function check(node, file) {
  node.replaceChildren(make("p", { className: "quiet", text: "check.busy" }));
  try {
    const { results, made_by_model: made, watermark, program } = await marks(file);
    const own = watermark && { type: "watermark", outcome: watermark.found ? "detected" : "not_detected" };
    const says = made ?? results.some((one) => one.outcome === "detected");
    node.replaceChildren(
      make("p", { className: "verdict", text: says ? "check.made" : "check.nothing" }),
      ...[...results, own].filter(Boolean).map(line),
      ...(program ? [make("p", { className: "quiet", text: "check.program", values: { program } })] : []));
  } catch (fault) {
    node.replaceChildren(make("p", { text: fault.status === 404 ? "check.none" : "fault.said", values: { why: fault.message } }));
  }
}

function line({ type, outcome, validation_state: state, issuer, model, generated_at: when }) {
  const told = [issuer, model, when].filter(Boolean).join(" · ");
  return make("p", { className: "mark-found", data: { outcome } },
    make("b", { text: `check.${type}`, values: { otherwise: type } }),
    make("span", { text: `check.${outcome}`, values: { otherwise: outcome } }),
    state !== undefined && state !== "not_present" &&
      make("span", { className: "quiet", text: `check.${state}`, values: { otherwise: state } }),
    told && make("span", { className: "quiet", textContent: told }));
}
