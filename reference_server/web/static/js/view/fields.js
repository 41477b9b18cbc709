// Labelled controls with their hint and a place for what is wrong with them.
import { h, setText, show } from "../dom.js";

let counter = 0;

export function field(label, control, { hint = null, unit = null } = {}) {
  counter += 1;
  control.id = `field-${counter}`;
  const error = h("p", { class: "field-error", id: `${control.id}-error`, hidden: true });
  const hintNode = hint === null ? null : h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  control.setAttribute("aria-describedby", `${hint === null ? "" : `${control.id}-hint `}${control.id}-error`);
  const row = h("div", { class: "control" }, control, unit === null ? null : h("span", { class: "unit" }, unit));
  const node = h("div", { class: "field" }, h("label", { for: control.id }, label), row, hintNode, error);
  const complain = (words) => {
    setText(error, words ?? "");
    show(error, Boolean(words));
    control.setAttribute("aria-invalid", String(Boolean(words)));
  };
  return { node, control, complain };
}

export function check(label, checked, hint) {
  counter += 1;
  const control = h("input", { type: "checkbox", id: `field-${counter}`, "aria-describedby": hint ? `field-${counter}-hint` : null });
  control.checked = checked === true;
  const node = h(
    "div",
    { class: "field check" },
    control,
    h("label", { for: control.id }, label),
    hint ? h("p", { class: "hint", id: `${control.id}-hint` }, hint) : null,
  );
  return { node, control, complain: () => {} };
}

/** options: [[value, words], …] */
export function choice(label, options, value, hint) {
  const control = h("select", {}, ...options.map(([key, words]) => h("option", { value: key }, words)));
  control.value = value;
  return field(label, control, { hint });
}

/** What the server found wrong: {field: words}. */
export const wrongFields = (error) =>
  Object.fromEntries(Object.entries(error.errors ?? {}).map(([name, words]) => [name, [words].flat().join(" ")]));
