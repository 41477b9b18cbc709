// Says plainly when the page has lost the server, and that what is shown is old.
import { h, icon, setText, show } from "../dom.js";
import { clock, duration } from "../format.js";

export class Banner {
  constructor(hurry) {
    this.words = h("span");
    this.wait = h("span", { class: "wait" });
    this.node = h(
      "div",
      { class: "banner", hidden: true },
      icon("offline"),
      h("div", { class: "words" }, h("strong", { role: "alert" }, this.words), this.wait),
      h("button", { type: "button", onclick: hurry }, "Try now"),
    );
  }

  update(store, retryAt) {
    const { state, lastLive } = store.link;
    const lost = state === "lost";
    show(this.node, lost);
    if (!lost) {
      setText(this.words, "");
      return;
    }
    setText(
      this.words,
      lastLive === null
        ? "The server does not answer."
        : `Connection to the server lost. What you see is old: from ${clock(new Date(lastLive))}.`,
    );
    const left = retryAt === null ? 0 : (retryAt - Date.now()) / 1000;
    setText(this.wait, left > 1 ? `Trying again in ${duration(left)}.` : "Trying again…");
  }
}
