// What the votes say, for the owner: the token is in the address after #, which browsers do not send.

import { language, say, speak } from "./words.js";

const at = (id) => document.getElementById(id);
const headers = () => ({ authorization: `Bearer ${decodeURIComponent(location.hash.slice(1))}` });
const SVG = "http://www.w3.org/2000/svg";
let value = null;

function make(name, content = [], attributes = {}) {
  const node = document.createElement(name);
  node.append(...(Array.isArray(content) ? content : [content]));
  for (const [key, one] of Object.entries(attributes)) node.setAttribute(key, one);
  return node;
}

function draw(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, one] of Object.entries(attributes)) node.setAttribute(key, one);
  if (text !== undefined) node.textContent = text;
  return node;
}

const number = (x, digits = 2) =>
  x.toLocaleString(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "exceptZero" });
const percent = (x) => x.toLocaleString(language(), { style: "percent", maximumFractionDigits: 0 });
const between = (row, as) => `${as(row.low)} … ${as(row.high)}`;

function table(head, rows) {
  const cells = (kind, row) => make("tr", row.map((cell, k) => make(k ? kind : "th", String(cell), k ? {} : { scope: "row" })));
  return make("table", [make("thead", make("tr", head.map((one) => make("th", one, { scope: "col" })))),
    make("tbody", rows.map((row) => cells("td", row)))]);
}

function chart(strengths) {
  const [left, wide, row] = [150, 620, 30];
  const low = Math.min(0, ...strengths.map((one) => one.low));
  const high = Math.max(0, ...strengths.map((one) => one.high));
  const x = (one) => left + ((one - low) / (high - low || 1)) * (wide - left - 20);
  const bottom = strengths.length * row + 6;
  const svg = draw("svg", { viewBox: `0 0 ${wide} ${bottom + 20}`, role: "img", "aria-label": say("results.chart") });
  svg.append(draw("line", { class: "axis", x1: x(0), x2: x(0), y1: 0, y2: bottom }));
  for (const one of [low, 0, high])
    svg.append(draw("text", { class: "tick", x: x(one), y: bottom + 15, "text-anchor": "middle" }, number(one, 1)));
  strengths.forEach((one, k) => {
    const y = k * row + row / 2 + 3;
    const name = one.system.length > 18 ? `${one.system.slice(0, 17)}…` : one.system;
    svg.append(draw("text", { x: left - 14, y: y + 4, "text-anchor": "end" }, name));
    svg.append(draw("line", { class: "range", x1: x(one.low), x2: x(one.high), y1: y, y2: y }));
    svg.append(draw("circle", { cx: x(one.value), cy: y, r: 6 }));
  });
  return svg;
}

function part(title, one) {
  const found = [make("h3", title), make("p", say("results.from", { votes: one.votes, raters: one.raters }), { class: "quiet" })];
  if (one.refused) found.push(make("p", say("results.refused", { why: one.refused }), { class: "note" }));
  if (one.strengths) {
    found.push(chart(one.strengths));
    found.push(table([say("results.system"), say("results.strength"), say("results.interval"), say("results.showings")],
      one.strengths.map((row) => [row.system, number(row.value), between(row, number), row.count])));
  }
  const rate = new Map(one.win_rates.map((row) => [JSON.stringify([row.of, row.against]), row]));
  found.push(make("h3", say("results.rates")));
  found.push(table(["", ...one.systems], one.systems.map((a) => [a, ...one.systems.map((b) => {
    const row = rate.get(JSON.stringify([a, b]));
    return row ? `${percent(row.value)} (${between(row, percent)})` : "–";
  })])));
  const facts = [say("results.ties", { share: percent(one.ties / one.votes) }), say("results.left", { share: percent(one.left / Math.max(1, one.votes - one.ties)) })];
  if (one.agreement) {
    facts.push(say("results.agreement", { share: percent(one.agreement.same), pairs: one.agreement.pairs }));
    if (one.agreement.alpha !== null) facts.push(say("results.alpha", { alpha: number(one.agreement.alpha) }));
  }
  if (one.drawn === "votes") facts.push(say("results.one"));
  found.push(make("p", facts.join(" · "), { class: "quiet" }));
  return make("div", found, { class: "card" });
}

function render() {
  const out = at("out");
  if (!value) return;
  out.replaceChildren(make("p", say("results.summary", { votes: value.votes, raters: value.raters, excluded: value.excluded.length, failed: value.checks.failed, checks: value.checks.answered })));
  for (const note of value.notes) out.append(make("p", note, { class: "quiet" }));
  if (!value.votes) out.append(make("p", say("results.none")));
  for (const [question, parts] of Object.entries(value.questions)) {
    out.append(make("h2", say(`question.${question}`)));
    for (const [name, one] of Object.entries(parts)) out.append(part(say(`results.part.${name}`), one));
  }
  if (value.excluded.length) {
    out.append(make("h2", say("results.excluded")));
    out.append(make("div", table([say("results.rater"), say("results.votes"), say("results.checks"), say("results.failed")],
      value.excluded.map((one) => [one.rater, one.votes, one.checks, one.failed])), { class: "card" }));
  }
  out.append(make("p", say("results.how"), { class: "quiet" }));
}

async function load() {
  const reply = await fetch("/api/results", { headers: headers(), cache: "no-store" }).catch(() => null);
  value = reply?.ok ? await reply.json() : null;
  if (value) render();
  else at("out").replaceChildren(make("p", say(reply?.status === 401 ? "results.token" : "problem.lost"), { class: "note" }));
}

async function save() {
  const reply = await fetch("/api/votes.csv", { headers: headers(), cache: "no-store" });
  if (!reply.ok) return load();
  const link = make("a", "", { href: URL.createObjectURL(await reply.blob()), download: "votes.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

at("reload").addEventListener("click", load);
at("csv").addEventListener("click", save);
for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", async () => {
    await speak(button.dataset.language, true);
    render();
  });

await speak();
await load();
