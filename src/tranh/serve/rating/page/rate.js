// One comparison after the other. The server says what comes next; nothing here knows which system drew what.

import { language, say, speak } from "./words.js";

const at = (id) => document.getElementById(id);
const sides = { left: document.querySelector("[data-answer=left]"), right: document.querySelector("[data-answer=right]") };
const answers = [...document.querySelectorAll("[data-answer]")];

let task = null; // as the server sent it
let shown = 0; // when its pictures were there, in milliseconds
let asking = false;
let minutes = 5;

function show(id) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  for (const one of ["progress", "count"]) at(one).hidden = id !== "task";
}

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let reply;
  try {
    reply = await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new Error("problem.lost");
  }
  if (reply.ok) return reply.json();
  const known = { 401: "new", 403: "problem.closed", 409: "answered" };
  throw new Error(known[reply.status] ?? "problem.server");
}

async function go(work) {
  if (asking) return;
  asking = true;
  for (const button of answers) button.disabled = true;
  try {
    await present(await work());
  } catch (error) {
    if (error.message === "new") location.reload(); // this browser's cookie is gone: begin again
    else trouble(error.message.startsWith("problem.") ? error.message : "problem.server");
  } finally {
    asking = false;
  }
}

function trouble(key) {
  at("why").textContent = say(key);
  at("why").dataset.text = key;
  show("problem");
  at("again").focus();
}

const next = () => ask(`/api/task?language=${language()}`);

function label() {
  at("question").textContent = say(`question.${task.question}`);
  at("hint").textContent = say(`hint.${task.question}`);
  at("count").textContent = say("count", { done: task.answered + 1, total: task.total });
  at("caption").hidden = !task.caption;
  at("caption").textContent = task.caption?.text ?? "";
  if (task.caption?.language) at("caption").lang = task.caption.language;
  else at("caption").removeAttribute("lang");
  for (const [name, button] of Object.entries(sides)) {
    const many = task[name].length > 1;
    for (const [k, image] of [...button.querySelectorAll("img")].entries())
      image.alt = many ? say(`alt.${name}.of`, { number: k + 1, total: task[name].length }) : say(`alt.${name}`);
  }
}

async function present(value) {
  if (value.new) {
    minutes = value.minutes;
    at("what").textContent = say("intro.what", { minutes });
    show("intro");
    return;
  }
  if (value.done) {
    at("code").textContent = value.code;
    show("end");
    return;
  }
  task = value;
  show("task");
  const bar = at("progress");
  bar.setAttribute("aria-valuemax", task.total);
  bar.setAttribute("aria-valuenow", task.answered);
  bar.setAttribute("aria-label", say("progress"));
  bar.firstElementChild.style.width = `${(100 * task.answered) / task.total}%`;
  at("broken").hidden = true;
  const loading = [];
  for (const [name, button] of Object.entries(sides)) {
    const images = task[name].map((address) => {
      const image = new Image();
      image.draggable = false;
      image.src = address;
      loading.push(image.decode());
      return image;
    });
    const frame = button.querySelector(".frame");
    frame.className = `frame of-${images.length}`;
    frame.replaceChildren(...images);
    button.dataset.loading = "";
  }
  label();
  at("question").focus({ preventScroll: true });
  at("said").textContent = at("count").textContent;
  const results = await Promise.allSettled(loading); // both sides appear at once: none is looked at longer
  for (const button of Object.values(sides)) delete button.dataset.loading;
  const whole = results.every((one) => one.status === "fulfilled");
  at("broken").hidden = whole;
  at("broken").disabled = whole;
  for (const button of answers) if (button.id !== "broken") button.disabled = !whole;
  shown = performance.now();
}

function vote(answer) {
  const button = answers.find((one) => one.dataset.answer === answer);
  if (asking || !task || at("task").hidden || !button || button.disabled || button.hidden) return;
  const seconds = Math.round(performance.now() - shown) / 1000;
  button.dataset.chosen = "";
  go(async () => {
    try {
      return await ask("/api/votes", { task: task.task, answer, language: language(), seconds });
    } catch (error) {
      if (error.message !== "answered") throw error;
      return next(); // answered in another window: that answer stands
    } finally {
      delete button.dataset.chosen;
    }
  });
}

for (const button of answers) button.addEventListener("click", () => vote(button.dataset.answer));

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const answer = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", ArrowDown: "same", 0: "same" }[event.key];
  if (!answer || at("task").hidden) return;
  event.preventDefault();
  vote(answer);
});

const token = () => decodeURIComponent(location.hash.slice(1));
at("start").addEventListener("click", () => go(() => ask("/api/raters", { language: language(), token: token() })));
at("again").addEventListener("click", () => go(next));

for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", async () => {
    await speak(button.dataset.language, true);
    at("what").textContent = say("intro.what", { minutes });
    if (!task || at("task").hidden || asking) return;
    const value = await next().catch(() => null); // the same task, its caption in the other language
    if (value && value.task === task.task) {
      task = { ...task, caption: value.caption };
      label();
    }
  });

await speak();
await go(next);
