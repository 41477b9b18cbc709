// A dialog of several parts that are changed one by one: what was done, or what went wrong, is told in one place.
import { h, setText, show } from "../dom.js";
import { dialogHead } from "./confirm.js";

export class Panel {
  /** `kind` is the style class of the dialog. Whoever extends it puts `head`, `said` and `trouble` into it. */
  constructor(title, kind) {
    this.dialog = h("dialog", { class: `settings ${kind}` });
    const [head, id] = dialogHead(title, this.dialog);
    this.head = head;
    this.dialog.setAttribute("aria-labelledby", id);
    this.said = h("p", { class: "hint", role: "status" });
    this.trouble = h("p", { class: "form-error", role: "alert", hidden: true });
  }

  /** Runs what a button does; `words` tell that it is done. */
  async do(work, words) {
    show(this.trouble, false);
    setText(this.said, "");
    try {
      await work();
      setText(this.said, words ?? "");
    } catch (error) {
      setText(this.trouble, error.message);
      show(this.trouble, true);
    }
    (this.trouble.hidden ? this.said : this.trouble).scrollIntoView({ block: "nearest" });
  }
}
