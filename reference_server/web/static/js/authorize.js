// A desktop program asks for a key (/o/authorize?response_type=token&client_id=…&redirect_uri=…&state=…).
import { authState, oauthGrant, oauthRequest } from "./api.js";
import { setText, show } from "./dom.js";

const element = (id) => document.getElementById(id);
const form = element("form");
const submit = form.querySelector("button[type=submit]");
const params = new URLSearchParams(location.search);
const asked = Object.fromEntries(
  ["response_type", "client_id", "redirect_uri", "state"].map((name) => [name, params.get(name) ?? ""]),
);

function complain(words) {
  setText(element("trouble"), words);
  show(element("trouble"), words !== "");
}

function finish(words) {
  show(form, false);
  setText(element("done-words"), words);
  show(element("done"), true);
}

/** OrcaSlicer shows this page in a window of its own, and waits for a script message with the key. */
function slicerWindow() {
  return globalThis.wx ?? globalThis.webkit?.messageHandlers?.wx ?? null;
}

function handOver(key) {
  const target = slicerWindow();
  if (target !== null) {
    target.postMessage(JSON.stringify({ command: "login_token", data: { token: key } }));
    finish("Done. You can close this window.");
    return;
  }
  finish("Copy this key into the program. It is shown this once.");
  element("key").value = key;
  show(element("key-field"), true);
  element("key").select();
}

async function begin() {
  const state = await authState();
  if (state.setup_needed) return location.replace("/setup");
  if (!state.logged_in) {
    return location.replace(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  const found = await oauthRequest(asked);
  setText(element("title"), `Allow ${found.name}`);
  setText(element("name"), found.name);
  setText(element("user"), found.user);
  if (found.redirect_uri !== null) {
    setText(element("where"), `Afterwards you are sent to ${found.redirect_uri}`);
    show(element("where"), true);
  }
  show(form, true);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  submit.disabled = true;
  try {
    const granted = await oauthGrant(asked);
    if (granted.redirect_to !== null) location.replace(granted.redirect_to);
    else handOver(granted.access_token);
  } catch (error) {
    complain(error.message);
  } finally {
    submit.disabled = false;
  }
});

element("refuse").addEventListener("click", () => finish("Nothing was allowed. You can close this window."));

try {
  await begin();
} catch (error) {
  complain(error.message);
}
