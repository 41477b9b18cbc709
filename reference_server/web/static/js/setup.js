// First run: the owner's name and password. The token came in the link's fragment, which is never sent.
import { authState, setUp } from "./api.js";
import { setText, show } from "./dom.js";

const SHORTEST = 8;
const form = document.getElementById("form");
const trouble = document.getElementById("trouble");
const submit = form.querySelector("button[type=submit]");
const token = location.hash.slice(1);

function complain(words) {
  setText(trouble, words);
  show(trouble, words !== "");
}

function close(words) {
  setText(document.getElementById("intro"), words);
  show(form, false);
}

function mark(problems) {
  for (const name of ["name", "password", "again"]) {
    const words = problems[name] ?? "";
    const node = document.getElementById(`${name}-error`);
    setText(node, words);
    show(node, words !== "");
    form.elements[name].setAttribute("aria-invalid", String(words !== ""));
  }
  const first = ["name", "password", "again"].find((name) => problems[name]);
  if (first) form.elements[first].focus();
  return first === undefined;
}

function problems({ name, password, again }) {
  const found = {};
  if (name.value.trim() === "") found.name = "Enter a name.";
  const length = [...password.value].length;
  if (length < SHORTEST) found.password = `Too short: ${length} of at least ${SHORTEST} characters.`;
  else if (again.value !== password.value) found.again = "The two passwords differ.";
  return found;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  if (!mark(problems(form.elements))) return;
  submit.disabled = true;
  try {
    await setUp(token, form.elements.name.value.trim(), form.elements.password.value);
    location.replace("/");
  } catch (error) {
    if (error.status === 403) {
      complain("This link is no longer valid. Restart the server and open the new link that it prints.");
    } else if (error.status === 409) {
      location.replace("/login");
    } else {
      mark(Object.fromEntries(Object.entries(error.errors).map(([name, words]) => [name, [words].flat().join(" ")])));
      complain(error.message);
    }
  } finally {
    submit.disabled = false;
  }
});
submit.disabled = false; // it was off until this program was there to take the form

try {
  const state = await authState();
  if (!state.setup_needed) location.replace(state.logged_in ? "/" : "/login");
  else if (token === "") {
    close("This server is not set up yet. Open the whole link that it printed when it started (it ends in # and a long token).");
  }
} catch (error) {
  complain(error.message);
}
