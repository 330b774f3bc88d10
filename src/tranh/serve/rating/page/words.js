// The words of a page in the reader's language. Words go in as text, never as markup.

export const LANGUAGES = ["en", "vi"];

let words = {};
let now = "en";

export const language = () => now;

export function say(key, values = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

function first() {
  const asked = new URLSearchParams(location.search).get("lang");
  const all = [remembered(), asked, ...navigator.languages.map((one) => one.slice(0, 2))];
  return all.find((one) => LANGUAGES.includes(one)) ?? "en";
}

function remembered() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null; // a browser that keeps nothing
  }
}

export async function speak(code = first(), chosen = false) {
  const reply = await fetch(`/i18n/${code}.json`);
  words = await reply.json();
  now = code;
  if (chosen) {
    try {
      localStorage.setItem("language", code);
    } catch {
      // asked again next time
    }
  }
  document.documentElement.lang = code;
  document.title = say(document.body.dataset.title ?? "title");
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say(node.dataset.label));
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === code));
}
