// The printer's own web interface: opening it, and the programs that may.
import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { moment, text } from "../format.js";
import { printerName } from "../state.js";
import { confirmAction, openDialog } from "./confirm.js";
import { field } from "./fields.js";
import { Panel } from "./panel.js";

/** Opens it in a tab of its own. Throws ApiError when it cannot be. To be called from a click. */
export async function openWebInterface(id) {
  // Before anything is waited for: later the browser would take it for an unwanted pop-up.
  const tab = window.open("about:blank", "_blank");
  try {
    const { url } = await api.openWebInterface(id);
    if (tab === null) location.assign(url);
    else tab.location.replace(url);
  } catch (error) {
    tab?.close();
    throw error;
  }
}

class Programs extends Panel {
  constructor(printer, now) {
    super(`Programs for ${printerName(printer)}`, "programs");
    this.printer = printer;
    this.now = now;
    this.keys = h("section", { class: "dialog-body more" });
    this.dialog.append(
      this.head,
      h(
        "div",
        { class: "dialog-body" },
        h("p", { class: "hint" }, "Apps such as OctoApp or Mobileraker reach this printer's own web interface with an address, a name and a password. Whoever has them can do everything with this printer."),
        this.said,
        this.trouble,
      ),
      this.keys,
    );
  }

  async open() {
    await this.#load();
    return openDialog(this.dialog);
  }

  async #load(made = null) {
    const { keys } = await api.webInterface(this.printer.id);
    const name = field("Name of the program", h("input", { type: "text", maxlength: 100, autocomplete: "off", placeholder: "OctoApp" }));
    fill(
      this.keys,
      made
        ? h(
            "div",
            { class: "note" },
            h("p", {}, "Shown only now:"),
            h("p", {}, "Address ", h("code", {}, made.url)),
            h("p", {}, "Name ", h("code", {}, made.login)),
            h("p", {}, "Password ", h("code", {}, made.password)),
          )
        : null,
      h(
        "ul",
        { class: "channels" },
        ...keys.map((key) =>
          h(
            "li",
            {},
            h("div", { class: "what" }, h("strong", {}, text(key.name) ?? "A program"), h("span", { class: "hint" }, key.last_used_at ? `Last used ${moment(key.last_used_at, this.now())}` : "Never used")),
            h("button", { type: "button", class: "danger-text", onclick: () => this.#remove(key) }, "Remove…"),
          ),
        ),
      ),
      name.node,
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => this.do(async () => this.#load(await api.addTunnelKey(this.printer.id, name.control.value.trim()))) }, "Let a program in")),
    );
  }

  async #remove(key) {
    const sure = await confirmAction({ title: `Remove ${text(key.name) ?? "this program"}?`, lines: ["It cannot open this printer's web interface any more."], yes: "Remove it", no: "Keep it", danger: true });
    if (sure) await this.do(async () => { await api.removeTunnelKey(this.printer.id, key.id); await this.#load(); }, "It is removed.");
  }
}

/** Opens the dialog. Throws ApiError when it cannot be filled. */
export const editPrograms = (printer, now) => new Programs(printer, now).open();
