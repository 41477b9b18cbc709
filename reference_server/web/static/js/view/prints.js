// The last prints: file, printer, how it ended, how long it took.
import { h, icon, setText, show } from "../dom.js";
import { duration, moment, num, text, toDate } from "../format.js";
import { printerName } from "../state.js";

export const ENDINGS = {
  running: { label: "Running", icon: "printing", tone: "go" },
  done: { label: "Finished", icon: "ready", tone: "calm" },
  cancelled: { label: "Cancelled", icon: "cancel", tone: "warn" },
  error: { label: "Failed", icon: "error", tone: "bad" },
  lost: { label: "Ended unseen", icon: "busy", tone: "off" },
};

/** How a Print ended, as a key of ENDINGS. */
export function ending(print) {
  if (Object.hasOwn(ENDINGS, print.ended_reason ?? "")) return print.ended_reason;
  if (print.cancelled_at) return "cancelled";
  if (print.finished_at) return "done";
  return print.ended_at ? "lost" : "running";
}

/** Seconds printed: what the agent counted, else the time between start and end. */
export function printSeconds(print, now) {
  const counted = num(print.print_time);
  if (counted !== null) return counted;
  const from = toDate(print.started_at);
  const to = toDate(print.ended_at ?? print.finished_at ?? print.cancelled_at) ?? new Date(now);
  return from === null ? null : Math.max(0, (to.getTime() - from.getTime()) / 1000);
}

export class Prints {
  #drawn = null;

  constructor() {
    this.body = h("tbody");
    this.empty = h("p", { class: "hint" }, "No prints yet. They appear here by themselves.");
    this.table = h(
      "table",
      {},
      h("caption", { class: "sr-only" }, "Recent prints, newest first"),
      h("thead", {}, h("tr", {}, ...["File", "Printer", "Result", "Duration", "Started"].map((name) => h("th", { scope: "col" }, name)))),
      this.body,
    );
    this.node = h("section", { class: "prints", "aria-labelledby": "prints-title" }, h("h2", { id: "prints-title" }, "Recent prints"), this.table, this.empty);
  }

  update(store) {
    const { prints } = store;
    const nothing = prints === null || (prints.length === 0 && store.ids().length === 0);
    show(this.node, !nothing);
    if (nothing) return;
    show(this.table, prints.length > 0);
    show(this.empty, prints.length === 0);
    const now = store.serverNow();
    const rows = prints.map((print) => {
      const printer = store.printer(print.printer);
      return {
        id: print.id,
        video: Boolean(print.video_url),
        file: text(print.filename) ?? "File name not known",
        printer: printer ? printerName(printer) : "Deleted printer",
        end: ending(print),
        why: text(print.error_text),
        time: duration(printSeconds(print, now)),
        started: moment(print.started_at, now),
        iso: toDate(print.started_at)?.toISOString() ?? null,
      };
    });
    const drawn = JSON.stringify(rows);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.body.replaceChildren(...rows.map((row) => this.#row(row)));
  }

  #row({ id, video, file, printer, end, why, time, started, iso }) {
    const { label, icon: name, tone } = ENDINGS[end];
    const result = h("span", { class: "result", "data-tone": tone, title: why }, icon(name), h("span"));
    setText(result.lastElementChild, why ? `${label}: ${why}` : label);
    return h(
      "tr",
      {},
      h("th", { scope: "row", title: file }, h("a", { href: `#/prints/${id}` }, video ? icon("video") : null, file)),
      h("td", { "data-label": "Printer", class: "printer" }, printer),
      h("td", { "data-label": "Result" }, result),
      h("td", { "data-label": "Duration", class: "number" }, time),
      h("td", { "data-label": "Started", class: "number", title: iso }, started),
    );
  }
}
