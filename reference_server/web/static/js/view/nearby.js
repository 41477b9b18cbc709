// Linking without typing digits at the printer: the printers that announce themselves in this network, and passcodes.
import * as api from "../api.js";
import { h, setText, show } from "../dom.js";

const LOOK = 3000; // ms between two looks for printers
const POPUP = 5000; // ms for the little window that reads the printer's secret (wire-protocol.md §2.2)
const LINK = 20_000; // ms for the whole link

const KINDS = { "Obico for OctoPrint": "OctoPrint", moonraker_obico: "Klipper" };

/** The address of a printer's handshake; null if what it announced is no address of its own network. */
function handshakeAddress(device) {
  const host = String(device.host_or_ip ?? "");
  const port = Number(device.port);
  const name = /^[0-9.]+$/.test(host) ? host : /^[0-9a-f:]+$/i.test(host) ? `[${host}]` : null;
  if (name === null || !Number.isInteger(port) || port < 1 || port > 65535) return null;
  return `http://${name}:${port}/plugin/obico/grab-discovery-secret?device_id=${encodeURIComponent(device.device_id)}`;
}

/**
 * Reads the printer's secret through a little window, which browsers allow from https and http alike (a fetch they do
 * not). Only from inside a click. Rejects with words.
 */
function readSecret(address) {
  const popup = open(address, "_blank", "popup,width=420,height=180");
  if (popup === null) return Promise.reject(new Error("Your browser did not open the little window: allow pop-ups for this page."));
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      removeEventListener("message", listen);
      clearTimeout(timer);
      popup.close();
      settle(value);
    };
    const listen = (event) => {
      const secret = event.data?.device_secret;
      if (event.source === popup && typeof secret === "string" && /^[0-9a-f]{64}$/.test(secret)) end(resolve, secret);
    };
    addEventListener("message", listen);
    const timer = setTimeout(
      () => end(reject, new Error("Your browser does not reach the printer. Are both in the same network? Use the passcode or the code instead.")),
      POPUP,
    );
  });
}

/** `code()`: the digits to hand over, null while there are none; `linked()`: whether the printer has come; `hurry()`: it is about to. */
export function nearby({ code, linked, hurry, passcode = "" }) {
  const list = h("ul", { class: "nearby" });
  const none = h("p", { class: "countdown" }, "Looking for printers that wait in this network…");
  const said = h("p", { class: "nearby-said", role: "status" });
  const rows = new Map(); // device id → row
  let busy = false;

  const say = (words, bad = false) => {
    setText(said, words);
    said.classList.toggle("form-error", bad);
  };
  const attempt = async (begin) => {
    if (busy) return;
    if (code() === null) {
      say("There is no valid code to hand over: get a new one above.", true);
      return;
    }
    busy = true;
    buttons();
    try {
      await begin();
      say("The printer has been told. One moment…");
      hurry();
      setTimeout(() => {
        if (!linked()) say("The printer has not come yet. Try again, or use another way.", true);
      }, LINK);
    } catch (error) {
      say(error.message, true);
    } finally {
      busy = false;
      buttons();
    }
  };
  const link = (device) =>
    attempt(async () => {
      say(`Asking ${device.hostname || device.host_or_ip}…`);
      const secret = await readSecret(handshakeAddress(device));
      await api.handOver(code(), device.device_id, secret);
    });

  const field = h("input", {
    id: "link-passcode", type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: 12,
    size: 8, value: passcode,
  });
  const submit = h("button", { type: "submit", class: passcode ? "primary" : "" }, "Link by passcode");
  const form = h(
    "form",
    {
      class: "passcode",
      onsubmit: (event) => {
        event.preventDefault();
        const typed = field.value.trim().toLowerCase();
        if (!/^[a-z0-9]{5,12}$/.test(typed)) {
          say("A passcode has five letters and digits; the printer shows it.", true);
          field.focus();
          return;
        }
        attempt(() =>
          api.claimPasscode(typed, code()).catch((error) => {
            throw error.status === 404 ? new Error("No printer shows this passcode (any more). It is good for two hours, and once.") : error;
          }),
        );
      },
    },
    h("label", { for: "link-passcode" }, "Passcode that the printer shows"),
    field,
    submit,
  );

  const buttons = () => {
    for (const button of [submit, ...[...rows.values()].map((row) => row.querySelector("button"))]) button.disabled = busy;
  };
  const row = (device) => {
    const name = device.hostname || device.host_or_ip;
    const more = [KINDS[device.agent] ?? device.agent, device.host_or_ip, device.rpi_model].filter(Boolean).join(" · ");
    return h(
      "li",
      {},
      h("div", {}, h("strong", {}, name), h("span", {}, more)),
      h("button", { type: "button", "aria-label": `Link ${name}`, onclick: () => link(device) }, "Link"),
    );
  };
  const look = async () => {
    let found;
    try {
      found = (await api.nearbyPrinters()).filter((device) => handshakeAddress(device) !== null);
    } catch {
      return; // the next look may do better; the code's own trouble is told above
    }
    const ids = new Set(found.map((device) => device.device_id));
    for (const [id, node] of rows) {
      if (!ids.has(id)) {
        node.remove();
        rows.delete(id);
      }
    }
    for (const device of found) {
      if (rows.has(device.device_id)) continue;
      const node = row(device);
      rows.set(device.device_id, node);
      list.append(node);
    }
    setText(none, "None waits to be linked right now. Is its agent running? In OctoPrint, press “Link without typing” in the Obico settings.");
    show(none, rows.size === 0);
    buttons();
  };
  const timer = setInterval(look, LOOK);
  look();
  const node = h("section", { class: "nearby-box", "aria-label": "Without typing at the printer" },
    h("h3", {}, "Printers in this network"), none, list, form, said);
  return { node, focus: () => (passcode ? submit : null)?.focus(), end: () => clearInterval(timer) };
}
