// The live page: the only writer of the store; joins API, socket and views.
import * as api from "./api.js";
import { h, icon, setText, show } from "./dom.js";
import { limits, may, role, setRole } from "./role.js";
import { LiveSocket } from "./socket.js";
import { printerName, printerState } from "./state.js";
import { Store } from "./store.js";
import { editAlerts } from "./view/alerts.js";
import { Banner } from "./view/banner.js";
import { Card } from "./view/card.js";
import { VERBS, ask, outcomeOf, reached, refusal } from "./view/commands.js";
import { confirmAction } from "./view/confirm.js";
import { controlPrinter } from "./view/control.js";
import { Events } from "./view/events.js";
import { linkPrinter } from "./view/link.js";
import { showPrint } from "./view/print.js";
import { editMasks } from "./view/masks.js";
import { Prints } from "./view/prints.js";
import { editSecurity } from "./view/security.js";
import { printerSettings } from "./view/settings.js";
import { editPrograms, openWebInterface } from "./view/web_interface.js";

const PRINTS = 10; // rows of the list
const EVENTS = 100; // newest events looked through for each printer's last one
const GOOD_NEWS = 20_000; // ms that a success stays on the card
const PENDING_OLD = 600_000; // ms after which an unfinished command of the past is not worth showing

const store = new Store();
const cards = new Map();
const list = document.getElementById("printers");
const summary = document.getElementById("summary");
const empty = document.getElementById("empty");
const seen = new Map(); // printer id → last_command as last seen, "id state"
const jobs = new Map(); // printer id → what its history depends on

/* ---- printers come in ---- */

function take(printer) {
  if (typeof printer?.id !== "number") return;
  store.put(printer);
  if (api.skew !== null) store.skew = api.skew;
  follow(printer);
  const print = printer.current_print;
  const key = [print?.id, print?.alerted_at, print?.alert_muted_at, printerState(printer).kind].join(" ");
  if (jobs.get(printer.id) !== key) {
    jobs.set(printer.id, key);
    refreshHistory();
  }
}

/** Shows what becomes of the printer's last command, whoever gave it. */
function follow(printer) {
  const { id, last_command: last } = printer;
  const { outcome } = store.entry(id);
  const state = printerState(printer);
  if (last && VERBS[last.cmd]) {
    const key = `${last.id} ${last.state}`;
    const first = !seen.has(id);
    const pending = last.state === "sent" || last.state === "accepted";
    const recent = store.serverNow() - Date.parse(last.at) < PENDING_OLD;
    // Where the printer's state has told already, "unknown" adds nothing.
    const open = outcome !== null && !outcome.final;
    const told = last.state === "unknown" && (!open || reached(last.cmd, state.kind));
    if (seen.get(id) !== key && !told && (!first || (pending && recent && !reached(last.cmd, state.kind)))) {
      tell(id, { ...outcomeOf(last.cmd, last), command: last.cmd });
    }
    seen.set(id, key);
  } else if (!seen.has(id)) {
    seen.set(id, "");
  }
  // An agent without command_ack shows by its state that the command took effect; one with it may add words later.
  const same = store.entry(id).outcome === outcome;
  if (outcome !== null && same && !outcome.final && reached(outcome.command, state.kind)) {
    tell(id, { ...outcomeOf(outcome.command, { state: "done" }), command: outcome.command });
  }
}

function tell(id, outcome) {
  store.setOutcome(id, outcome);
  if (!outcome?.final || outcome.tone !== "go") return;
  setTimeout(() => {
    if (store.entry(id)?.outcome === outcome) store.setOutcome(id, null);
  }, GOOD_NEWS);
}

/* ---- the socket ---- */

/** Opened once it is known that somebody is logged in; until then there is nothing to hurry or drop. */
let socket = null;
let routed = false; // whether the address the page was opened with has been followed

function connect() {
  socket = new LiveSocket(api.socketAddress("/ws/web/"), {
    message(message) {
      if (Array.isArray(message.printers)) {
        store.keepOnly(message.printers);
        if (store.link.state !== "live") {
          store.linkLive();
          refreshHistory();
          if (!routed) {
            routed = true;
            setTimeout(route, 200); // when the cards are there
          }
        }
      } else {
        take(message);
      }
    },
    async closed(opened, lockedOut) {
      store.linkLost();
      if (opened && !lockedOut) return;
      const stays = await checkLogin();
      if (stays && lockedOut) socket.hurry();
    },
    alive: api.health,
  });
}

/** False when the browser is on its way to another page. A server that is away counts as true: the socket tries on. */
async function checkLogin() {
  let state;
  try {
    state = await api.authState();
  } catch {
    return true;
  }
  if (state.setup_needed || !state.logged_in) {
    // What stands behind the # comes back after the log-in; no server gets to see it.
    location.replace(state.setup_needed ? "/setup" : `/login${location.hash}`);
    return false;
  }
  setRole(state.user);
  setText(document.getElementById("who"), may("admin") ? (state.user?.name ?? "") : `${state.user?.name} (${role()})`);
  const words = limits();
  setText(document.getElementById("role-note"), words);
  show(document.getElementById("role-note"), words !== null);
  for (const node of document.querySelectorAll("[data-needs]")) show(node, may(node.dataset.needs));
  return true;
}

addEventListener("online", () => socket?.hurry());
addEventListener("offline", () => socket?.drop());
document.addEventListener("visibilitychange", () => document.hidden || socket?.hurry());

/* ---- history ---- */

let historyTimer = null;
function refreshHistory() {
  // Changes come in flocks; one question answers them all.
  historyTimer ??= setTimeout(async () => {
    historyTimer = null;
    if (store.link.state !== "live") return; // asked again with the next connection
    try {
      const [prints, events] = await Promise.all([api.recentPrints(PRINTS), api.recentEvents(EVENTS)]);
      store.setHistory(prints, events);
    } catch {
      // The next change or reconnect asks again; the banner tells about a lost server.
    }
  }, 300);
}

/* ---- what a person does ---- */

const actions = {
  async command(name, id) {
    if (!(await ask(name, store, id))) return;
    const sending = { tone: "busy", text: `${VERBS[name]}: sending…`, command: name };
    tell(id, sending);
    let outcome;
    try {
      const answer = await api.command(id, name);
      if (answer?.agent) outcome = outcomeOf(name, answer.agent);
      else outcome = answer?.succeeded ? outcomeOf(name, null) : refusal(name, answer?.reason);
    } catch (error) {
      outcome = {
        tone: "bad",
        final: true,
        text:
          error.kind === "network"
            ? `${VERBS[name]}: the server did not answer, so it is not known whether the printer got it. Watch its state.`
            : `${VERBS[name]} was not sent: ${error.message}`,
      };
      if (error.kind === "auth") checkLogin();
    }
    // The socket may have told the end of it already.
    const now = store.entry(id)?.outcome;
    const mine = now === sending || (now && !now.final);
    // A refusal comes to nobody else: last_command shows what goes on at the printer meanwhile.
    if (now === sending || (outcome.final && mine) || outcome.tone === "bad") tell(id, { ...outcome, command: name });
  },

  async acknowledge(id, verdict) {
    try {
      await api.acknowledge(id, verdict);
      notice(verdict === "FAILED" ? "Noted: the print failed. Cancel it if it still runs." : "Noted: the print is fine.");
    } catch (error) {
      notice(`Your answer was not stored: ${error.message}`);
    }
  },

  async mute(id, muted) {
    try {
      await api.mute(id, muted);
      notice(muted ? "This print is not watched any more." : "This print is watched again.");
    } catch (error) {
      notice(`Nothing was changed: ${error.message}`);
    }
  },

  async settings(id) {
    const printer = store.printer(id);
    const { action } = await printerSettings(printer);
    if (action === "link") await actions.link(id);
    if (action === "masks") await actions.masks(id);
    if (action === "programs") await actions.programs(id);
    if (action === "delete") await actions.remove(id);
  },

  control(id) {
    const printer = store.printer(id);
    if (printer) controlPrinter(printer);
  },

  async webInterface(id) {
    try {
      await openWebInterface(id);
    } catch (error) {
      notice(`The web interface was not opened: ${error.message}`);
    }
  },

  async programs(id) {
    try {
      await editPrograms(store.printer(id), () => store.serverNow());
    } catch (error) {
      notice(`The programs cannot be shown: ${error.message}`);
    }
  },

  async masks(id) {
    try {
      if (await editMasks(store.printer(id))) notice("The failure watch ignores these areas from now on.");
    } catch (error) {
      notice(`The areas cannot be shown: ${error.message}`);
    }
  },

  async link(id = null, passcode = "") {
    if (!may("admin")) {
      notice(limits()); // a printer's QR code leads here, whoever scans it
      return;
    }
    const linked = await linkPrinter(id === null ? null : store.printer(id), () => store.serverNow(), passcode);
    if (linked !== null) notice(`${printerName(linked)} is linked.`);
  },

  async remove(id) {
    const printer = store.printer(id);
    if (!printer) return;
    const name = printerName(printer);
    const sure = await confirmAction({
      title: `Delete ${name}?`,
      lines: [
        `“${name}” disappears from this page, and its agent can no longer connect.`,
        "A print that is running goes on; nobody watches it from here any more. To bring the printer back it has to be linked as a new one.",
      ],
      yes: `Delete ${name}`,
      no: "Keep it",
      danger: true,
    });
    if (!sure) return;
    try {
      await api.deletePrinter(id);
      notice(`${name} is deleted.`);
    } catch (error) {
      notice(`${name} was not deleted: ${error.message}`);
    }
  },

  dismiss(id) {
    store.setOutcome(id, null);
  },
};

const toast = h("p", { class: "toast", role: "status" });
let toastTimer = null;
function notice(words) {
  clearTimeout(toastTimer);
  setText(toast, words);
  toastTimer = setTimeout(() => setText(toast, ""), 8000);
}

/* ---- drawing ---- */

const banner = new Banner(() => socket?.hurry());
const prints = new Prints();
const events = new Events();
document.getElementById("banner").append(banner.node);
document.getElementById("history").append(prints.node, events.node);
document.body.append(toast);

function draw() {
  const ids = store.ids();
  for (const [id, card] of cards) {
    if (!ids.includes(id)) {
      card.node.remove();
      cards.delete(id);
      seen.delete(id);
      jobs.delete(id);
    }
  }
  ids.forEach((id, place) => {
    if (!cards.has(id)) cards.set(id, new Card(id, actions, () => store.changed()));
    const card = cards.get(id);
    card.update(store);
    if (list.children[place] !== card.node) list.insertBefore(card.node, list.children[place] ?? null);
  });
  const live = store.link.state === "live";
  document.body.dataset.link = store.link.state;
  show(empty, live && ids.length === 0);
  banner.update(store, socket?.retryAt ?? null);
  prints.update(store);
  events.update(store);
  const words = summarise(ids, live);
  setText(summary, words);
  const title = words ? `${words} – Printers` : "Printers";
  if (document.title !== title) document.title = title;
}

function summarise(ids, live) {
  if (!live) return store.link.state === "connecting" ? "Connecting…" : "Not live";
  const kinds = ids.map((id) => printerState(store.printer(id)).kind);
  const count = (...names) => kinds.filter((kind) => names.includes(kind)).length;
  const parts = [
    [count("printing", "busy"), "printing"],
    [count("paused"), "paused"],
    [count("error"), "with an error"],
    [count("ready"), "ready"],
    [count("offline", "disconnected"), "offline"],
  ];
  return parts
    .filter(([number]) => number > 0)
    .map(([number, words]) => `${number} ${words}`)
    .join(" · ");
}

/* ---- addresses: #/prints/7 shows that print, #/printers/2 that card; alerts link to them. #/link?passcode=k3x9a, from
   a printer's QR code, offers to link it ---- */

async function route() {
  if (location.hash.startsWith("#/link")) {
    const passcode = /^#\/link\?passcode=([a-z0-9]{1,12})$/i.exec(location.hash)?.[1] ?? "";
    history.replaceState(null, "", location.pathname);
    if (!document.querySelector("dialog[open]")) await actions.link(null, passcode);
    return;
  }
  const [, kind, id] = /^#\/(prints|printers)\/(\d+)$/.exec(location.hash) ?? [];
  if (kind === "printers") {
    const card = cards.get(Number(id));
    card?.node.scrollIntoView({ block: "center" });
    card?.node.querySelector("button:not(:disabled)")?.focus({ preventScroll: true });
    return;
  }
  if (kind !== "prints" || document.querySelector("dialog[open]")) return;
  try {
    if ((await showPrint(Number(id), store)) === "deleted") {
      notice("The print is deleted.");
      refreshHistory();
    }
  } catch (error) {
    notice(error.status === 404 ? "There is no such print (any more)." : `The print cannot be shown: ${error.message}`);
  }
  if (location.hash === `#/prints/${id}`) history.replaceState(null, "", location.pathname);
}
addEventListener("hashchange", route);

store.subscribe(draw);
setInterval(() => document.hidden || draw(), 1000); // ages and count-downs

for (const button of document.querySelectorAll("[data-action=link]")) {
  button.prepend(icon("plus"));
  button.addEventListener("click", () => actions.link());
}
/** A dialog of the account behind a button at the top. */
function account(id, iconName, open) {
  const button = document.getElementById(id);
  button.append(icon(iconName));
  button.addEventListener("click", async () => {
    try {
      await open(() => store.serverNow());
    } catch (error) {
      notice(`This cannot be shown: ${error.message}`);
    }
  });
}
account("alerts", "bell", editAlerts);
account("security", "shield", editSecurity);
document.getElementById("logout").addEventListener("click", async () => {
  try {
    await api.logOut();
    location.replace("/login");
  } catch (error) {
    notice(`You are still logged in: ${error.message}`);
  }
});
document.getElementById("mark").append(icon("logo"));
draw();
if (await checkLogin()) connect();
