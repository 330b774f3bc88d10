// What can be done with a finished picture, whoever shows it.

import { get, patch, remove, save, send } from "./api.js";
import { frames, isFrame } from "./film.js";
import { say } from "./i18n.js";

export const told = new EventTarget(); // "changed", "discarded", with `image`

const tell = (kind, image) => told.dispatchEvent(Object.assign(new Event(kind), { image }));

/** What a job was asked, or a picture shows, in one line. */
export function about(one) {
  const said = one.request ?? one.settings ?? {};
  const tool = one.tool ?? said.edit ?? "generate";
  return said.prompt || said.source || say(`tool.${tool}`, { otherwise: tool });
}

export const page = (query) => get(`api/images?${new URLSearchParams(query)}`);

export async function like(image) {
  Object.assign(image, await patch(`api/images/${image.id}`, { favourite: !image.favourite }));
  tell("changed", image);
}

/** Delete a picture; an animation is deleted as a whole. */
export async function discard(image) {
  await remove(isFrame(image) ? `api/jobs/${image.job}` : `api/images/${image.id}`);
  tell("discarded", image);
}

const ENDINGS = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif" };

/** A name for a file: words of the prompt, and the seed. */
export function name(image) {
  const words = about(image).toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
  return `${words || "tranh"}-${image.seed}.${ENDINGS[image.mime] ?? "png"}`;
}

export const download = async (image) => (isFrame(image) ? zip(await frames(image)) : save(image.url, name(image)));

export const zip = (images) =>
  save("api/images/zip", "tranh.zip", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ids: images.map((image) => image.id) }),
  });

export const file = async (image) =>
  new File([await (await send(image.url)).blob()], name(image), { type: image.mime });
