// What happened lately on all printers, newest first.
import { h, icon, setText, show } from "../dom.js";
import { moment, text, toDate } from "../format.js";
import { mediaUrl, printerName } from "../state.js";

const ICONS = { ERROR: "error", WARNING: "pause", SUCCESS: "ready", INFO: "printing" };
const TONES = { ERROR: "bad", WARNING: "warn", SUCCESS: "go", INFO: "off" };
const SHOWN = 12;

/** The server's event text is a little HTML of its own making: only its words are shown. */
export function plain(words) {
  const found = text(words);
  if (found === null) return null;
  const document_ = new DOMParser().parseFromString(found, "text/html"); // runs nothing, loads nothing
  const parts = [...document_.body.querySelectorAll("div")].map((node) => node.textContent.trim());
  return (parts.length > 0 ? parts : [document_.body.textContent]).join(" · ").replace(/\s+/g, " ").trim();
}

export class Events {
  #drawn = null;

  constructor() {
    this.list = h("ol", { class: "events" });
    this.node = h("section", { class: "news", "aria-labelledby": "events-title" }, h("h2", { id: "events-title" }, "Events"), this.list);
  }

  update(store) {
    const events = (store.allEvents ?? []).slice(0, SHOWN);
    show(this.node, events.length > 0);
    const now = store.serverNow();
    const rows = events.map((event) => {
      const printer = store.printer(event.printer);
      return {
        id: event.id,
        title: text(event.event_title) ?? text(event.event_type) ?? "Event",
        details: plain(event.event_text),
        tone: TONES[event.event_class] ?? "off",
        icon: ICONS[event.event_class] ?? "busy",
        printer: printer ? printerName(printer) : "Deleted printer",
        print: typeof event.print === "number" ? event.print : null,
        when: moment(event.created_at, now),
        iso: toDate(event.created_at)?.toISOString() ?? null,
        image: mediaUrl(event.image_url, document.baseURI),
      };
    });
    // The addresses of pictures are signed anew with each answer: they alone are no reason to draw.
    const drawn = JSON.stringify(rows.map(({ image, ...row }) => ({ ...row, image: image !== null })));
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.list.replaceChildren(...rows.map((row) => this.#row(row)));
  }

  #row(row) {
    const details = h("span", { class: "hint" });
    setText(details, row.details ?? row.printer);
    const title = row.print === null ? h("span", {}, row.title) : h("a", { href: `#/prints/${row.print}` }, row.title);
    return h(
      "li",
      { "data-tone": row.tone },
      row.image === null ? icon(row.icon) : h("img", { src: row.image, alt: "", loading: "lazy", decoding: "async" }),
      h("div", { class: "what" }, title, details),
      h("time", { class: "hint", datetime: row.iso, title: row.iso }, row.when),
    );
  }
}
