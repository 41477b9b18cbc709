// The printer in hand: axes, temperatures, and its terminal. What may be done just now, the agent decides, and says.
import { Calls } from "../calls.js";
import { h, setText } from "../dom.js";
import { heaters } from "../format.js";
import { printerName } from "../state.js";
import { openDialog } from "./confirm.js";
import { choice, field } from "./fields.js";
import { Panel } from "./panel.js";

const STEPS = [["0.1", "0.1 mm"], ["1", "1 mm"], ["10", "10 mm"], ["50", "50 mm"]];
const JOGS = [["x", -1, "Left"], ["x", 1, "Right"], ["y", -1, "Front"], ["y", 1, "Back"], ["z", -1, "Down"], ["z", 1, "Up"]];
const MOST_LINES = 300;

class Control extends Panel {
  constructor(printer) {
    super(`Control ${printerName(printer)}`, "control-panel");
    this.klipper = printer.agent_name === "moonraker_obico";
    this.step = choice("Step", STEPS, "10");
    this.log = h("pre", { class: "terminal", role: "log", "aria-label": "Terminal", tabindex: "0" });
    this.lines = [];
    this.input = field("G-code", h("input", { type: "text", autocomplete: "off", spellcheck: "false", maxlength: 250, placeholder: "G28" }));
    const section = (title, ...nodes) => h("section", { class: "dialog-body more" }, h("h3", {}, title), ...nodes);
    const button = (label, work, words, aria = null) =>
      h("button", { type: "button", "aria-label": aria, onclick: () => this.do(work, words) }, label);
    const home = (axes, label) => button(label, () => this.calls.call("_printer.home", [axes]), "It is homing.");
    this.dialog.append(
      this.head,
      h("div", { class: "dialog-body told" }, this.said, this.trouble),
      section(
        "Move",
        this.step.node,
        h("div", { class: "row" }, ...JOGS.map(([axis, way, label]) =>
          button(`${label} (${axis.toUpperCase()})`, () => this.calls.call("_printer.jog", [{ [axis]: way * Number(this.step.control.value) }]), "It moves."))),
        h("div", { class: "row" }, home(["x", "y", "z"], "Home all"), home(["x", "y"], "Home X and Y"), home(["z"], "Home Z")),
      ),
      section("Heat", ...this.#heaters(printer)),
      section(
        "Terminal",
        this.log,
        h("form", { class: "row terminal-line", onsubmit: (event) => this.#send(event) }, this.input.node, h("button", { type: "submit" }, "Send")),
      ),
    );
  }

  #heaters(printer) {
    const found = heaters(printer.status?.temperatures).filter((heater) => typeof printer.status.temperatures[heater.key]?.target === "number");
    if (found.length === 0) return [h("p", { class: "hint" }, "No heater is known now.")];
    return found.map((heater) => {
      const control = h("input", { type: "number", min: 0, max: 500, step: 1, value: printer.status.temperatures[heater.key].target });
      const target = field(heater.name, control, { unit: "°C" });
      const set = (value) => this.calls.call("_printer.set_temperature", [heater.key, value]);
      return h(
        "div",
        { class: "row heater" },
        target.node,
        h("button", { type: "button", onclick: () => this.do(() => set(control.value === "" ? null : Number(control.value)), `${heater.name} is set.`) }, `Set ${heater.name}`),
        h("button", { type: "button", onclick: () => this.do(() => set(0), `${heater.name} is off.`) }, `${heater.name} off`),
      );
    });
  }

  #send(event) {
    event.preventDefault();
    const { control } = this.input;
    const text = control.value.trim();
    if (text === "") return;
    this.do(async () => {
      this.#line(`> ${text}`);
      if (this.klipper) await this.calls.call("moonraker_api.printer/gcode/script", [], { script: text });
      else await this.calls.call("_printer.commands", [text]);
      control.value = "";
    });
  }

  #line(text) {
    this.lines.push(text);
    if (this.lines.length > MOST_LINES) this.lines.shift();
    const atEnd = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 20;
    setText(this.log, this.lines.join("\n"));
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  async open(printer) {
    this.calls = new Calls(printer.id, { line: (text) => this.#line(text), closed: () => this.dialog.open && this.do(() => Promise.reject(new Error("The connection is lost: close this and open it again."))) });
    const shown = openDialog(this.dialog);
    this.do(() => this.calls.call("gcode_hooks.toggle_terminal_feed", ["on"]));
    await shown;
    this.calls.close();
  }
}

/** Opens the dialog; resolves when it is closed. */
export const controlPrinter = (printer) => new Control(printer).open(printer);
