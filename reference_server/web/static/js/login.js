// The log-in page.
import { authState, logIn } from "./api.js";
import { setText, show } from "./dom.js";

const form = document.getElementById("form");
const trouble = document.getElementById("trouble");
const submit = form.querySelector("button[type=submit]");

function complain(words) {
  setText(trouble, words);
  show(trouble, words !== "");
}

try {
  const state = await authState();
  if (state.setup_needed) location.replace("/setup");
  else if (state.logged_in) location.replace("/");
} catch (error) {
  complain(error.message);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password } = form.elements;
  if (name.value.trim() === "" || password.value === "") {
    complain("Enter your name and your password.");
    (name.value.trim() === "" ? name : password).focus();
    return;
  }
  complain("");
  submit.disabled = true;
  try {
    await logIn(name.value.trim(), password.value);
    location.replace("/");
  } catch (error) {
    complain(error.message);
    password.value = "";
    password.focus();
  } finally {
    submit.disabled = false;
  }
});
