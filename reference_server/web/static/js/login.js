// The log-in page.
import { authState, logIn } from "./api.js";
import { setText, show } from "./dom.js";

const form = document.getElementById("form");
const trouble = document.getElementById("trouble");
const codeField = document.getElementById("code-field");
const submit = form.querySelector("button[type=submit]");

/** Where to go afterwards: a page of this server (`?next=/…`), else the start, or what of it stands behind the #. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next");
  if (wanted === null) return location.hash.startsWith("#/") ? `/${location.hash}` : "/";
  const address = new URL(wanted, location.origin);
  return wanted.startsWith("/") && address.origin === location.origin ? address.pathname + address.search + address.hash : "/";
}

function complain(words) {
  setText(trouble, words);
  show(trouble, words !== "");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password, code } = form.elements;
  if (name.value.trim() === "" || password.value === "") {
    complain("Enter your name and your password.");
    (name.value.trim() === "" ? name : password).focus();
    return;
  }
  if (!codeField.hidden && code.value.trim() === "") {
    complain("Enter the code.");
    code.focus();
    return;
  }
  complain("");
  submit.disabled = true;
  try {
    const answer = await logIn(name.value.trim(), password.value, codeField.hidden ? "" : code.value.trim());
    if (answer.second_factor) {
      show(codeField, true);
      code.focus();
    } else location.replace(next());
  } catch (error) {
    complain(error.message);
    // Once the code was asked for, name and password are right.
    const wrong = codeField.hidden ? password : code;
    wrong.value = "";
    wrong.focus();
  } finally {
    submit.disabled = false;
  }
});
// Until now the button was off: without this program the form would be sent to a page that takes none.
submit.disabled = false;

try {
  const state = await authState();
  if (state.setup_needed) location.replace("/setup");
  else if (state.logged_in) location.replace(next());
} catch (error) {
  complain(error.message);
}
