// One print of the history: its video, how it went, and why the server did what it did.
import * as api from "../api.js";
import { h, icon, setText, show } from "../dom.js";
import { UNKNOWN, duration, moment, num, percent, text } from "../format.js";
import { may } from "../role.js";
import { mediaUrl, printerName } from "../state.js";
import { confirmAction, dialogHead, openDialog } from "./confirm.js";
import { ENDINGS, ending, printSeconds } from "./prints.js";

const STILL_COMING = 3000; // ms between two looks at a video that is being built

/** Metres of filament, or a dash. */
export function filament(millimetres) {
  const length = num(millimetres);
  return length === null ? UNKNOWN : `${(length / 1000).toFixed(2)} m`;
}

/** What became of the video, in words; null when there is one to show. */
export function videoWords(print) {
  if (mediaUrl(print.video_url, document.baseURI) !== null) return null;
  const state = print.timelapse?.state;
  if (print.video_archived_at) return "The video was removed to make room; how long videos are kept is a setting of the server.";
  if (state === "queued") return "The time-lapse video will be built as soon as the one before it is done.";
  if (state === "building") return `The time-lapse video is being built: ${percent((num(print.timelapse.progress) ?? 0) * 100)}`;
  if (state === "failed") return `There is no time-lapse video: ${text(print.timelapse.error) ?? "building it failed."}`;
  return print.ended_at ? "There is no time-lapse video: the print was short, or there were no pictures." : "The video is built when the print is over.";
}

class PrintView {
  constructor(print, printer, serverNow) {
    this.id = print.id;
    this.serverNow = serverNow;
    this.dialog = h("dialog", { class: "print" });
    const [head, id] = dialogHead(text(print.filename) ?? "Print", this.dialog);
    this.dialog.setAttribute("aria-labelledby", id);
    this.video = h("video", { controls: true, preload: "metadata", playsinline: true, hidden: true });
    this.words = h("p", { class: "hint", role: "status" });
    this.tagged = h("input", { type: "checkbox", id: "tagged-video" });
    this.taggedRow = h("div", { class: "field check", hidden: true }, this.tagged, h("label", { for: "tagged-video" }, "Show what the failure watch marked"));
    this.tagged.addEventListener("change", () => this.#source());
    this.facts = h("dl", { class: "facts wide" });
    this.decisions = h("ol", { class: "decisions" });
    this.decisionBox = h("section", { hidden: true }, h("h3", {}, "What the failure watch decided, and why"), this.decisions);
    this.trouble = h("p", { class: "form-error", role: "alert", hidden: true });
    this.printer = printer;
    this.dialog.append(
      head,
      h("div", { class: "dialog-body" }, this.video, this.words, this.taggedRow, this.facts, this.decisionBox, this.trouble),
      h(
        "footer",
        { class: "dialog-foot" },
        h("button", { type: "button", onclick: () => this.dialog.close("") }, "Close"),
        may("admin") ? h("button", { type: "button", class: "danger-text", onclick: () => this.#remove() }, "Delete this print…") : null,
      ),
    );
    this.#take(print);
  }

  async open() {
    this.#follow();
    this.#loadDecisions();
    const answer = await openDialog(this.dialog);
    clearTimeout(this.timer);
    return answer;
  }

  #take(print) {
    this.print = print;
    const now = this.serverNow();
    const end = ENDINGS[ending(print)];
    const rows = [
      ["Result", print.error_text ? `${end.label}: ${print.error_text}` : end.label],
      ["Printer", this.printer ? printerName(this.printer) : "Deleted printer"],
      ["Started", moment(print.started_at, now)],
      ["Ended", print.ended_at ? moment(print.ended_at, now) : UNKNOWN],
      ["Duration", duration(printSeconds(print, now))],
      ["Filament", filament(print.filament_used)],
    ];
    if (print.alerted_at) rows.push(["Possible failure", moment(print.alerted_at, now)]);
    if (print.paused_at) rows.push(["Paused by the watch", moment(print.paused_at, now)]);
    this.facts.replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    const words = videoWords(print);
    setText(this.words, words ?? "");
    show(this.words, words !== null);
    show(this.taggedRow, words === null && Boolean(print.tagged_video_url));
    this.#source();
  }

  #source() {
    const wanted = this.tagged.checked && this.print.tagged_video_url ? this.print.tagged_video_url : this.print.video_url;
    const address = mediaUrl(wanted, document.baseURI);
    show(this.video, address !== null);
    if (address === null) return;
    // Only the path tells one video from another: the signature is new in each answer.
    const path = address.split("?")[0];
    if (this.shown === path) return;
    this.shown = path;
    const poster = mediaUrl(this.print.poster_url, document.baseURI);
    if (poster !== null) this.video.poster = poster;
    this.video.src = address;
  }

  /** Looks again while the video is being built. */
  #follow() {
    const state = this.print.timelapse?.state;
    if (state !== "queued" && state !== "building") return;
    this.timer = setTimeout(async () => {
      try {
        this.#take(await api.print(this.id));
      } catch {
        // The next look may have more luck.
      }
      this.#follow();
    }, STILL_COMING);
  }

  async #loadDecisions() {
    let found;
    try {
      found = await api.decisions(this.id);
    } catch {
      return; // a server without failure detection has none
    }
    if (!Array.isArray(found) || found.length === 0) return;
    const now = this.serverNow();
    this.decisions.replaceChildren(
      ...found.map((decision) =>
        h(
          "li",
          {},
          h("time", { class: "hint" }, moment(decision.at ?? decision.created_at, now)),
          h("span", {}, text(decision.text) ?? [text(decision.rule), text(decision.action)].filter(Boolean).join(": ")),
        ),
      ),
    );
    show(this.decisionBox, true);
  }

  async #remove() {
    const sure = await confirmAction({
      title: "Delete this print?",
      lines: [`“${text(this.print.filename) ?? "The print"}” disappears from the history with its video and pictures. This cannot be undone.`],
      yes: "Delete it",
      no: "Keep it",
      danger: true,
    });
    if (!sure) return;
    try {
      await api.deletePrint(this.id);
      this.dialog.close("deleted");
    } catch (error) {
      setText(this.trouble, `It was not deleted: ${error.message}`);
      show(this.trouble, true);
    }
  }
}

/** Shows the print; resolves with "deleted" when it is gone, "" otherwise. Throws ApiError when it cannot be read. */
export async function showPrint(id, store) {
  const print = await api.print(id);
  return new PrintView(print, store.printer(typeof print.printer === "object" ? print.printer?.id : print.printer), () => store.serverNow()).open();
}
