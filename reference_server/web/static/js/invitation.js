// The invited person joins: as a new user, or as the one who is logged in. The token came in the link's fragment, which
// is never sent.
import { acceptInvitation, authState, invitation, joinOrganization } from "./api.js";
import { setText, show } from "./dom.js";
import { complain, explain, mark, problems } from "./gate.js";

const MAY = {
  viewer: "You will see its printers and their prints.",
  operator: "You will see its printers, print on them, pause, resume and cancel.",
  admin: "You will be able to do everything but change its owners.",
  owner: "You will be able to do everything.",
};
const intro = document.getElementById("intro");
const form = document.getElementById("form");
const join = document.getElementById("join");
const token = location.hash.slice(1);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  if (!mark(form, problems(form.elements))) return;
  const submit = form.querySelector("button[type=submit]");
  submit.disabled = true;
  try {
    await acceptInvitation(token, form.elements.name.value.trim(), form.elements.password.value);
    location.replace("/");
  } catch (error) {
    explain(form, error);
  } finally {
    submit.disabled = false;
  }
});

join.addEventListener("submit", async (event) => {
  event.preventDefault();
  const trouble = document.getElementById("join-trouble");
  complain("", trouble);
  const submit = join.querySelector("button[type=submit]");
  submit.disabled = true;
  try {
    await joinOrganization(token);
    location.replace("/");
  } catch (error) {
    complain(error.message, trouble);
  } finally {
    submit.disabled = false;
  }
});

try {
  if (token === "") throw new Error("Open the whole link of your invitation: it ends in # and a long token.");
  const [asked, state] = [await invitation(token), await authState()];
  const who = asked.inviter === "" ? "You are invited" : `${asked.inviter} invites you`;
  const what = `${who} to the printers of ${asked.organization}, as ${asked.role}. ${MAY[asked.role]}`;
  if (state.logged_in) {
    setText(intro, `${what} You are logged in as ${state.user.name}.`);
    show(join, true);
  } else if (asked.known) {
    setText(intro, `${what} ${asked.email} has a log-in on this server: log in with it, then open this link again.`);
    show(document.getElementById("log-in"), true);
  } else {
    setText(intro, `${what} Choose your name and password; with them you log in from now on. This link works only once.`);
    show(form, true);
    form.elements.name.focus();
  }
} catch (error) {
  setText(intro, error.message);
}
