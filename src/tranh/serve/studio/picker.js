// A dialog that lets a picture of the history be chosen.

import { show } from "./api.js";
import { button, closing, dialog, make } from "./dom.js";
import { failed } from "./faults.js";
import { about, page } from "./pictures.js";

/** The picture that was chosen, or null. */
export function pick(title = "pick.title") {
  return new Promise((done) => {
    let chosen = null;
    let cursor = null;
    const list = make("ul", { className: "grid small", role: "list" });
    const more = button("older", older, { hidden: true });
    const none = make("p", { className: "quiet", text: "empty.short", hidden: true });
    const node = dialog(title, "wide", closing(() => node), make("h2", { text: title }), none, list, more);
    node.addEventListener("close", () => done(chosen));

    async function older() {
      const query = cursor ? { limit: 24, cursor } : { limit: 24 };
      const { data, next } = await page(query).catch((fault) => (failed(fault), { data: [], next: null }));
      cursor = next;
      more.hidden = !next;
      for (const image of data) {
        const picture = make("img", { alt: about(image), draggable: false });
        show(picture, image.thumb).catch(() => null);
        const take = () => {
          chosen = image;
          node.close();
        };
        list.append(make("li", {}, make("button", { type: "button", className: "tile", on: { click: take } }, picture)));
      }
      none.hidden = list.children.length > 0;
    }
    older();
  });
}
