// A printer's settings: name, what a pause does, linking again, deleting.
import * as api from "../api.js";
import { h, setText, show } from "../dom.js";
import { printerName } from "../state.js";
import { dialogHead, openDialog } from "./confirm.js";
import { check, choice, field, wrongFields } from "./fields.js";

// The server's own limits (docs/server-api.md).
const LIMITS = { retract_on_pause: 50, lift_z_on_pause: 100 };

const ACTIONS = [
  ["PAUSE", "Pause it"],
  ["CANCEL", "Cancel it"],
  ["NONE", "Only tell me"],
];
const SENSITIVITIES = [
  ["0.8", "Low"],
  ["1", "Normal"],
  ["1.2", "High"],
];

function nearest(value) {
  const known = SENSITIVITIES.map(([number]) => number);
  return known.reduce((best, number) => (Math.abs(number - value) < Math.abs(best - value) ? number : best), "1");
}

/** Resolves with {action: "saved", printer} | {action: "masks"} | {action: "programs"} | {action: "link"} | {action: "delete"} | {action: null}. */
export async function printerSettings(printer) {
  const dialog = h("dialog", { class: "settings" });
  const [head, id] = dialogHead(`Settings of ${printerName(printer)}`, dialog);
  dialog.setAttribute("aria-labelledby", id);
  const millimetre = (name, label, hint) => {
    const control = h("input", { type: "number", min: 0, max: LIMITS[name], step: 0.1, required: true, inputmode: "decimal" });
    control.value = printer[name];
    return field(label, control, { hint: `${hint} 0 to ${LIMITS[name]} mm.`, unit: "mm" });
  };
  const nameInput = h("input", { type: "text", required: true, maxlength: 100, autocomplete: "off" });
  nameInput.value = printer.name ?? "";
  const fields = {
    name: field("Name", nameInput),
    retract_on_pause: millimetre("retract_on_pause", "Pull filament back", "Against oozing; pushed back before the print goes on."),
    lift_z_on_pause: millimetre("lift_z_on_pause", "Lift the head", "Away from the part; less if the axis ends earlier."),
    tools_off_on_pause: check(
      "Switch the nozzle heater off",
      printer.tools_off_on_pause,
      "Safer in a long pause. It heats up again before the print goes on.",
    ),
    bed_off_on_pause: check(
      "Switch the bed heater off",
      printer.bed_off_on_pause,
      "A bed that cools down can let go of the part. Usually left on.",
    ),
  };
  const watching = {
    watching_enabled: check(
      "Watch prints for failures",
      printer.watching_enabled,
      "Pictures are judged while a print runs. How well that works depends on the server's detector.",
    ),
    action_on_failure: choice("When a print looks like a failure", ACTIONS, printer.action_on_failure, "At most once a print; you are told in any case."),
    detective_sensitivity: choice(
      "Sensitivity",
      SENSITIVITIES,
      nearest(printer.detective_sensitivity),
      "High finds more and is wrong more often.",
    ),
  };
  const trouble = h("p", { class: "form-error", role: "alert", hidden: true });
  const save = h("button", { type: "submit", class: "primary" }, "Save");
  const form = h(
    "form",
    { novalidate: true },
    h(
      "div",
      { class: "dialog-body" },
      fields.name.node,
      h("h3", {}, "When this printer is paused from here"),
      h("div", { class: "pair" }, fields.retract_on_pause.node, fields.lift_z_on_pause.node),
      fields.tools_off_on_pause.node,
      fields.bed_off_on_pause.node,
      h("h3", {}, "Failure watch"),
      watching.watching_enabled.node,
      h("div", { class: "pair" }, watching.action_on_failure.node, watching.detective_sensitivity.node),
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => dialog.close("masks") }, "Areas to ignore…")),
      trouble,
    ),
    h(
      "footer",
      { class: "dialog-foot" },
      save,
      h("button", { type: "button", onclick: () => dialog.close("") }, "Close without saving"),
    ),
  );
  const agent = printer.agent_name ? `${printer.agent_name} ${printer.agent_version ?? ""}`.trim() : "none has connected yet";
  const more = h(
    "section",
    { class: "dialog-body more" },
    h("h3", {}, "Connection"),
    h("p", { class: "hint" }, `Agent: ${agent}`),
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => dialog.close("programs") }, "Programs that may open it…")),
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", onclick: () => dialog.close("link") }, "Link again…"),
      h("button", { type: "button", class: "danger-text", onclick: () => dialog.close("delete") }, "Delete this printer…"),
    ),
  );
  dialog.append(head, form, more);

  let saved = null;
  const values = () => ({
    name: nameInput.value.trim(),
    retract_on_pause: fields.retract_on_pause.control.valueAsNumber,
    lift_z_on_pause: fields.lift_z_on_pause.control.valueAsNumber,
    tools_off_on_pause: fields.tools_off_on_pause.control.checked,
    bed_off_on_pause: fields.bed_off_on_pause.control.checked,
    watching_enabled: watching.watching_enabled.control.checked,
    action_on_failure: watching.action_on_failure.control.value,
    detective_sensitivity: Number(watching.detective_sensitivity.control.value),
  });
  const problems = (entered) => {
    const found = {};
    if (entered.name === "") found.name = "Give the printer a name.";
    for (const [name, limit] of Object.entries(LIMITS)) {
      if (!(entered[name] >= 0 && entered[name] <= limit)) found[name] = `Enter a number from 0 to ${limit}.`;
    }
    return found;
  };
  const complain = (found) => {
    for (const [name, item] of Object.entries(fields)) item.complain(found[name]);
    const first = Object.keys(fields).find((name) => found[name]);
    if (first) fields[first].control.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    show(trouble, false);
    const entered = values();
    const found = problems(entered);
    complain(found);
    if (Object.keys(found).length > 0) return;
    save.disabled = true;
    try {
      saved = await api.changePrinter(printer.id, entered);
      dialog.close("saved");
    } catch (error) {
      complain(wrongFields(error));
      setText(trouble, error.message);
      show(trouble, true);
    } finally {
      save.disabled = false;
    }
  });
  const action = await openDialog(dialog);
  return { action: action || null, printer: saved?.printer ?? null };
}
