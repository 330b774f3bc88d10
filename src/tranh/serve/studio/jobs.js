// Jobs under way: ordered, watched, cancelled, tried again. It knows no node of the page; whoever shows jobs listens.

import { back, events, get, post, remove } from "./api.js";
import { wait } from "./dom.js";

const STREAMS = 2; // a browser opens six connections to a server, whatever the number of windows
const LOOK = 2000; // milliseconds between looks at jobs that are not streamed
const DAY = 86400;
const ENDS = ["completed", "failed", "cancelled"];

export const jobs = new Map(); // id -> {record, previews, last: number of the last event seen, control}
export const changes = new EventTarget(); // "job": something is new; "gone": it is shown no more; "done": it ended just now

const tell = (kind, job) => changes.dispatchEvent(Object.assign(new Event(kind), { job }));
export const ended = (job) => ENDS.includes(job.record.status);
const live = () => [...jobs.values()].filter((job) => !ended(job));

/** Show a job from now on, and watch it until it ends. */
export function track(record) {
  const job = jobs.get(record.id) ?? { record, previews: [], last: 0, control: null };
  job.record = record;
  jobs.set(record.id, job);
  tell("job", job);
  if (ended(job)) tell("done", job);
  feed();
  return job;
}

/** All jobs of a status. */
async function listed(status) {
  const found = [];
  for (let cursor = null; ; ) {
    const { data, next } = await get(`api/jobs?${new URLSearchParams({ status, limit: 200, ...(cursor && { cursor }) })}`);
    found.push(...data);
    if (!(cursor = next)) return found;
  }
}

/** Jobs that wait or run, by id; waiting ones are asked for first, so that none begins unseen in between. */
async function underWay() {
  const found = [...(await listed("queued")), ...(await listed("in_progress"))];
  return new Map(found.map((record) => [record.id, record]));
}

/** What is under way, or failed within a day: after a reload, or when the server is back. */
export async function attach() {
  const found = await underWay();
  for (const record of (await get("api/jobs?limit=50")).data) found.set(record.id, record);
  const since = Date.now() / 1000 - DAY;
  const waiting = new Map(live().map((job) => [job.record.id, job]));
  for (const record of [...found.values()].sort((a, b) => a.created_at - b.created_at)) {
    waiting.delete(record.id);
    if (!ENDS.includes(record.status) || jobs.has(record.id)) track(record);
    else if (record.status === "failed" && record.created_at > since) track(record);
  }
  for (const job of waiting.values()) await look(job);
}

/** Order pictures. Where the server is gone, the order is kept and sent when it is back, once. */
export async function submit(order) {
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  for (;;) {
    try {
      return track(await post("api/jobs", order, { headers: { "idempotency-key": key } }));
    } catch (fault) {
      if (fault.status !== 0) throw fault;
      await back();
    }
  }
}

export async function cancel(job) {
  job.record = await post(`api/jobs/${job.record.id}/cancel`);
  tell("job", job);
  if (ended(job)) tell("done", job);
}

/** Cancel what was ordered last and has not ended; false where there is nothing. */
export function cancelNewest() {
  const newest = live().filter((job) => !job.cancelling).at(-1);
  if (!newest) return false;
  newest.cancelling = true;
  return cancel(newest).catch((fault) => {
    newest.cancelling = false;
    throw fault;
  });
}

export async function retry(job) {
  const again = await post(`api/jobs/${job.record.id}/retry`);
  await forget(job).catch(() => null);
  return track(again);
}

export async function forget(job) {
  dismiss(job);
  if (!job.record.images.length) await remove(`api/jobs/${job.record.id}`);
}

/** Show a job no more. */
export function dismiss(job) {
  jobs.delete(job.record.id);
  job.control?.abort();
  tell("gone", job);
}

const HEARD = {
  job: (job, data) => Object.assign(job.record, data),
  progress: (job, data) => Object.assign(job.record, data),
  preview: (job, data) => (job.previews[data.index ?? 0] = `data:image/png;base64,${data.b64_json}`),
};

async function watch(job) {
  const control = (job.control = new AbortController());
  const path = `api/jobs/${job.record.id}/events`;
  while (!ended(job) && jobs.has(job.record.id)) {
    try {
      for await (const { id, event, data } of events(path, { after: job.last, signal: control.signal })) {
        if (id) job.last = Number(id);
        if (event === "end") break;
        HEARD[event]?.(job, data);
        if (!ended(job)) tell("job", job);
      }
      await look(job);
    } catch (fault) {
      if (control.signal.aborted) break;
      if (fault.status === 404) dismiss(job);
      await back();
      if (fault.status >= 400) await wait(LOOK);
    }
    if (!ended(job)) await wait(300); // the line was cut: from the last event that was seen
  }
  job.control = null;
  feed();
}

async function look(job, record = null) {
  const before = ended(job) && job.told;
  try {
    job.record = record ?? (await get(`api/jobs/${job.record.id}`));
  } catch (fault) {
    if (fault.status !== 404) throw fault;
    dismiss(job);
    return;
  }
  tell("job", job);
  if (!ended(job) || before) return;
  job.told = true;
  tell("done", job);
}

/** Streams for those that run, then for those that wait. */
function feed() {
  if (document.hidden) return;
  const order = live().sort((a, b) => (a.record.status === "queued") - (b.record.status === "queued"));
  for (const job of order.slice(STREAMS)) job.control?.abort();
  for (const job of order.slice(0, STREAMS)) if (!job.control) watch(job);
  if (order.length > STREAMS) glance();
}

let glancing = false;

async function glance() {
  if (glancing) return;
  glancing = true;
  await wait(LOOK);
  try {
    const found = await underWay();
    for (const job of live()) if (!job.control) await look(job, found.get(job.record.id));
  } catch {
    await back();
  }
  glancing = false;
  feed();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) for (const job of jobs.values()) job.control?.abort(); // other windows need the connections
  else feed();
});
