// The words of the page in the reader's language. A node keeps the key of its words, so the language can change any time.

export const LANGUAGES = ["en", "vi"];

const learned = Object.fromEntries(LANGUAGES.map((code) => [code, {}])); // words that the server tells
let words = {};
let now = "en";

export const language = () => now;
export const knows = (key) => key in words || key in learned[now];

export function say(key, values = {}) {
  const text = words[key] ?? learned[now][key] ?? values.otherwise ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Words for a key that no file has: `told` has them by language. */
export function learn(key, told) {
  for (const code of LANGUAGES) learned[code][key] = told[code] ?? told.en ?? key;
}

const PLACES = {
  text: (node, words) => (node.textContent = words),
  label: (node, words) => node.setAttribute("aria-label", words),
  hint: (node, words) => (node.title = words),
  placeholder: (node, words) => (node.placeholder = words),
};

/** Put words into a node, in a place of it: text, label, hint, placeholder. */
export function put(node, place, key, values) {
  node.dataset[place] = key;
  if (values) node.dataset.values = JSON.stringify(values);
  PLACES[place](node, say(key, values));
}

function translate() {
  document.documentElement.lang = now;
  for (const place of Object.keys(PLACES))
    for (const node of document.querySelectorAll(`[data-${place}]`))
      PLACES[place](node, say(node.dataset[place], node.dataset.values && JSON.parse(node.dataset.values)));
  for (const node of document.querySelectorAll("[data-language]"))
    node.setAttribute("aria-pressed", String(node.dataset.language === now));
}

/** Which language to begin with: the remembered one, or the first of the browser's that there is. */
export const first = (remembered) =>
  [remembered, ...navigator.languages.map((one) => one.slice(0, 2))].find((one) => LANGUAGES.includes(one)) ?? "en";

export async function speak(code) {
  const reply = await fetch(new URL(`i18n/${code}.json`, import.meta.url));
  words = await reply.json();
  now = code;
  translate();
  document.dispatchEvent(new Event("language"));
}

const UNITS = [["s", 60], ["min", 60], ["h", Infinity]];

/** Seconds in words: 8 s, 3 min, 2 h. */
export function duration(seconds) {
  let left = Math.max(1, Math.round(seconds));
  for (const [unit, many] of UNITS) {
    if (left < many) return say(`unit.${unit}`, { n: left });
    left = Math.round(left / many);
  }
  return "";
}

export const date = (seconds) =>
  new Date(1000 * seconds).toLocaleString(now, { dateStyle: "medium", timeStyle: "short" });
