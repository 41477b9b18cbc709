// First run: the owner's name and password. The token came in the link's fragment, which is never sent.
import { authState, setUp } from "./api.js";
import { setText, show } from "./dom.js";
import { complain, explain, mark, problems } from "./gate.js";

const form = document.getElementById("form");
const submit = form.querySelector("button[type=submit]");
const token = location.hash.slice(1);

function close(words) {
  setText(document.getElementById("intro"), words);
  show(form, false);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  if (!mark(form, problems(form.elements))) return;
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
      explain(form, error);
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
