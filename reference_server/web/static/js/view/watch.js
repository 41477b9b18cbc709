// Failure detection on a printer's card: the score while it watches, and the alert that wants an answer.
import { h, icon, setText, show } from "../dom.js";
import { moment, num, toDate } from "../format.js";
import { may } from "../role.js";

/** normalized_p in words; the bands are those of the server's rules: a third alerts, two thirds pause. */
export function verdict(score) {
  if (score >= 2 / 3) return { words: "Looks like a failure", tone: "bad" };
  if (score >= 1 / 3) return { words: "Suspicious", tone: "warn" };
  return { words: "Looks fine", tone: "go" };
}

/** The alert that nobody has answered yet, or null. */
export function openAlert(print) {
  const alerted = toDate(print?.alerted_at);
  if (alerted === null) return null;
  const answered = toDate(print.alert_acknowledged_at);
  if (answered !== null && answered >= alerted) return null;
  return { at: alerted, paused: toDate(print.paused_at) };
}

export class Watch {
  /** actions: {acknowledge(id, verdict), mute(id, muted), command(name, id)} */
  constructor(id, actions) {
    this.words = h("span", { class: "words" });
    this.meter = h("meter", { min: 0, max: 1, low: 0.34, high: 0.67, optimum: 0 });
    this.unmute = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => actions.mute(id, false) }, "Watch again");
    this.line = h("div", { class: "watch" }, icon("eye"), this.words, this.meter, this.unmute);
    this.title = h("strong");
    this.why = h("p");
    this.alert = h(
      "section",
      { class: "alert", role: "alert" },
      h("p", {}, icon("error"), this.title),
      this.why,
      (this.answers = h(
        "div",
        { class: "row" },
        (this.fine = h("button", { type: "button", onclick: () => actions.acknowledge(id, "NOT_FAILED") }, "It is fine")),
        (this.failed = h("button", { type: "button", onclick: () => actions.acknowledge(id, "FAILED") }, "It failed")),
        h("button", { type: "button", class: "quiet", onclick: () => actions.mute(id, true) }, "Stop watching this print"),
      )),
    );
    this.alert.hidden = true;
    this.node = h("div", { class: "watch-box" }, this.line, this.alert);
  }

  update(printer, working, now) {
    const print = printer.current_print;
    show(this.node, working && Boolean(print));
    if (!working || !print) return;
    const muted = Boolean(print.alert_muted_at);
    const reason = printer.not_watching_reason;
    const score = num(printer.normalized_p);
    const watching = !reason && score !== null;
    const judged = watching ? verdict(score) : null;
    this.line.dataset.tone = judged?.tone ?? "off";
    setText(this.words, watching ? `Failure watch: ${judged.words.toLowerCase()}` : `Failure watch: ${lower(reason)}`);
    show(this.meter, watching);
    if (watching) {
      this.meter.value = score;
      this.meter.setAttribute("aria-label", `Failure score ${Math.round(score * 100)} of 100`);
      this.meter.title = `Score ${Math.round(score * 100)} of 100`;
    }
    show(this.unmute, muted && may("operator"));
    show(this.answers, may("operator"));

    const alert = muted ? null : openAlert(print);
    show(this.alert, alert !== null);
    if (alert === null) return;
    setText(this.title, `Possible failure seen at ${moment(alert.at, now)}`);
    setText(
      this.why,
      alert.paused
        ? "The server paused the print. Look at the picture, then resume or cancel it below."
        : "The print goes on. Look at the picture: is it really failing?",
    );
  }
}

const lower = (words) => (words ? words.charAt(0).toLowerCase() + words.slice(1) : "not known");
