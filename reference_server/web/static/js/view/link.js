// Linking: shows the six digits, says where to type them, and notices when the printer has come.
import * as api from "../api.js";
import { h, icon, setText, show } from "../dom.js";
import { countdown, toDate } from "../format.js";
import { printerName } from "../state.js";
import { dialogHead, openDialog } from "./confirm.js";
import { nearby } from "./nearby.js";

const POLL = 3000;
const HURRY = 20_000; // ms after the printer was told in which the page looks more often

function copyable(label, value) {
  const said = h("span", { class: "copied", role: "status" });
  const button = h(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(code.textContent);
          setText(said, "copied");
        } catch {
          // Browsers give the clipboard to https and localhost only.
          getSelection().selectAllChildren(code);
          setText(said, "selected: press Ctrl+C");
        }
      },
    },
    icon("copy"),
    "Copy",
  );
  const code = h("code", {}, value);
  const node = h("div", { class: "copyable", "aria-label": label, role: "group" }, code, button, said);
  return { node, code };
}

/** `printer` null links a new one; `passcode`: one that came with the address. Resolves with the linked Printer, or null. */
export async function linkPrinter(printer, serverNow, passcode = "") {
  const again = printer !== null;
  const dialog = h("dialog", { class: "link" });
  const [head, id] = dialogHead(again ? `Link ${printerName(printer)} again` : "Link a printer", dialog);
  dialog.setAttribute("aria-labelledby", id);
  const digits = h("output", { class: "digits", "aria-label": "Six-digit code" }, "······");
  const clock = h("p", { class: "countdown" }, "Getting a code…");
  const trouble = h("p", { class: "form-error", role: "alert", hidden: true });
  const renew = h("button", { type: "button", class: "primary", hidden: true, onclick: () => fetchCode() }, "Get a new code");
  const server = document.location.origin;
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(document.location.hostname);
  const address = copyable("Server address", server);
  const command = copyable("Command", "…");
  let hurried = 0; // when the printer was told to come
  let code = null;
  let linked = null;
  const without = nearby({
    code: () => (code === null || renew.hidden === false ? null : code.code),
    linked: () => linked !== null,
    hurry: () => {
      hurried = Date.now();
    },
    passcode,
  });
  const steps = h(
    "div",
    { class: "dialog-body" },
    again
      ? h(
          "p",
          { class: "note" },
          "The printer keeps its name, settings and history. What is linked to it now is cut off as soon as the code is used.",
        )
      : null,
    h("div", { class: "code-box" }, digits, clock, renew),
    trouble,
    without.node,
    h("h3", {}, "OctoPrint"),
    h(
      "p",
      {},
      "Open OctoPrint, then Settings → Obico. Enter the server address and the code, and press Link; or press “Link without typing” there.",
    ),
    address.node,
    h("h3", {}, "Klipper"),
    h("p", {}, "Run this on the printer's computer:"),
    command.node,
    local
      ? h(
          "p",
          { class: "note" },
          "You opened this page on the server itself. From another computer “",
          document.location.hostname,
          "” does not lead here: start the server with --host 0.0.0.0 and open this page by this computer's name or address in the network.",
        )
      : null,
    h("p", { class: "waiting", role: "status" }, "Waiting for the printer. This closes by itself when it is linked."),
  );
  dialog.append(head, steps, h("footer", { class: "dialog-foot" }, h("button", { type: "button", onclick: () => dialog.close("") }, "Close")));

  let polling = false;
  const complain = (words) => {
    setText(trouble, words ?? "");
    show(trouble, Boolean(words));
  };
  const fetchCode = async () => {
    show(renew, false);
    try {
      code = await api.linkCode(again ? printer.id : null);
      complain(null);
      setText(digits, `${code.code.slice(0, 3)} ${code.code.slice(3)}`);
      setText(command.code, `moonraker-obico link --server ${server} --code ${code.code}`);
      tick();
    } catch (error) {
      code = null;
      setText(clock, "No code yet.");
      complain(error.message);
      show(renew, true);
    }
  };
  const tick = () => {
    if (code === null) return;
    const left = (toDate(code.expired_at).getTime() - serverNow()) / 1000;
    const over = left <= 0;
    digits.classList.toggle("over", over);
    setText(clock, over ? "This code has run out." : `Valid for ${countdown(left)}`);
    show(renew, over);
  };
  const poll = async () => {
    if (polling || code === null) return;
    polling = true;
    try {
      const state = await api.linkCodeState(code.id);
      complain(null);
      if (state.verified_at !== null && dialog.open) {
        linked = state.printer;
        dialog.close("linked");
      }
    } catch (error) {
      complain(error.message);
    } finally {
      polling = false;
    }
  };
  const fast = () => Date.now() - hurried < HURRY && poll();
  const timers = [setInterval(tick, 1000), setInterval(poll, POLL), setInterval(fast, 700)];
  fetchCode().then(without.focus);
  await openDialog(dialog);
  timers.forEach(clearInterval);
  without.end();
  return linked;
}
