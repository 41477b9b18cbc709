// A form where somebody chooses a name and a password: first run, invitation.
import { setText, show } from "./dom.js";

const SHORTEST = 8;
const FIELDS = ["name", "password", "again"];

/** Words about the whole form; "" hides them. */
export function complain(words, node = document.getElementById("trouble")) {
  setText(node, words);
  show(node, words !== "");
}

/** problems: {field: words}. Whether there is none. */
export function mark(form, problems) {
  for (const name of FIELDS) {
    const words = problems[name] ?? "";
    const node = document.getElementById(`${name}-error`);
    setText(node, words);
    show(node, words !== "");
    form.elements[name].setAttribute("aria-invalid", String(words !== ""));
  }
  const first = FIELDS.find((name) => problems[name]);
  if (first) form.elements[first].focus();
  return first === undefined;
}

export function problems({ name, password, again }) {
  const found = {};
  if (name.value.trim() === "") found.name = "Enter a name.";
  const length = [...password.value].length;
  if (length < SHORTEST) found.password = `Too short: ${length} of at least ${SHORTEST} characters.`;
  else if (again.value !== password.value) found.again = "The two passwords differ.";
  return found;
}

/** What the server found wrong (ApiError), at its fields. */
export function explain(form, error) {
  mark(form, Object.fromEntries(Object.entries(error.errors).map(([name, words]) => [name, [words].flat().join(" ")])));
  complain(error.message);
}
