// Questions before something happens. A real <dialog>: focus stays inside, Escape means no.
import { h, icon } from "../dom.js";

/** Opens a dialog, removes it when it closes; resolves with its returnValue. */
export function openDialog(dialog) {
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        dialog.remove();
        resolve(dialog.returnValue);
      },
      { once: true },
    );
    dialog.showModal();
  });
}

/** The head of every dialog: title and a close button. Returns [header, id for aria-labelledby]. */
let counter = 0;
export function dialogHead(title, dialog) {
  counter += 1;
  const id = `dialog-title-${counter}`;
  const head = h(
    "header",
    { class: "dialog-head" },
    h("h2", { id }, title),
    h("button", { type: "button", class: "quiet square", "aria-label": "Close", onclick: () => dialog.close("") }, icon("close")),
  );
  return [head, id];
}

/**
 * Asks; resolves true only when the person chose the action. `lines` are paragraphs of text.
 * The harmless answer has the focus when `danger` is set. `watch(close)` may close the question when
 * the ground for it is gone; it returns a function that ends the watch.
 */
export async function confirmAction({ title, lines, yes, no, danger = false, iconName = null, watch = null }) {
  const dialog = h("dialog", { class: "ask" });
  const [head, id] = dialogHead(title, dialog);
  dialog.setAttribute("aria-labelledby", id);
  dialog.setAttribute("aria-describedby", `${id}-text`);
  const accept = h(
    "button",
    { type: "submit", value: "yes", class: danger ? "danger" : "primary", autofocus: !danger },
    iconName ? icon(iconName) : null,
    yes,
  );
  const refuse = h("button", { type: "submit", value: "no", autofocus: danger }, no);
  // The first submit button is the form's default button: the harmless one where it matters.
  const buttons = danger ? [refuse, accept] : [accept, refuse];
  const form = h(
    "form",
    { method: "dialog" },
    h("div", { id: `${id}-text`, class: "dialog-body" }, ...lines.map((line) => h("p", {}, line))),
    h("footer", { class: "dialog-foot" }, ...buttons),
  );
  dialog.append(head, form);
  const unwatch = watch?.(() => dialog.close("gone"));
  const answer = await openDialog(dialog);
  unwatch?.();
  return answer === "yes" ? true : answer === "gone" ? null : false;
}
