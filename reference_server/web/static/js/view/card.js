// One printer's card. Built once; later only what changed is written.
import { h, icon, setIcon, setText, setTitle, show } from "../dom.js";
import * as format from "../format.js";
import { may } from "../role.js";
import { allowed, fileName, hasJob, isDownloading, job, mediaUrl, printerName, printerState } from "../state.js";
import { Watch } from "./watch.js";

const HEATER_ICON = (key) => (/^(tool|extruder)\d*$/.test(key) ? "nozzle" : /bed$/.test(key) ? "bed" : "chamber");
const EVENT_WORDS = {
  STARTED: "Print started",
  ENDED: "Print ended",
  PAUSED: "Paused",
  RESUMED: "Resumed",
  FAILURE_ALERTED: "Possible failure seen",
  ALERT_MUTED: "Watching turned off",
  ALERT_UNMUTED: "Watching turned on",
  FILAMENT_CHANGE: "Filament change needed",
  PRINTER_ERROR: "Printer error",
};
// Longer than two picture intervals of an agent that prints unwatched (120 s).
const OLD_PICTURE = 300;
// A picture that did not load is asked for again after this long (ms).
const RETRY_PICTURE = 20_000;
// An unconfirmed command holds its button this long (ms); the agent moves nothing twice anyway.
const REPEAT_AFTER = 20_000;

export class Card {
  #shown = null; // which picture is on screen,
  #loading = null; // which is being fetched,
  #failed = null; // and which could not be shown: told by the time they were taken
  #taken = null;
  #spokenState = null;
  #temps = new Map();

  /** actions: {command(name, id), settings(id), dismiss(id)}; onPicture: a picture came, draw again. */
  constructor(id, actions, onPicture) {
    this.id = id;
    this.onPicture = onPicture;
    const heading = `printer-${id}`;
    this.img = h("img", { alt: "", decoding: "async", hidden: true });
    this.noPicture = h("div", { class: "no-picture" }, icon("camera"), (this.noPictureText = h("span", {}, "No picture yet")));
    this.age = h("span", { class: "chip age", hidden: true });
    this.stateIcon = icon("busy");
    this.stateText = h("span", { class: "state-text" });
    this.chip = h("span", { class: "chip state" }, this.stateIcon, this.stateText);
    this.name = h("h2", { id: heading });
    this.since = h("p", { class: "since" });
    this.message = h("p", { class: "message", hidden: true });
    this.file = h("p", { class: "file" });
    this.bar = h("progress", { max: 100, value: 0 });
    this.percent = h("span", { class: "percent" });
    this.progress = h("div", { class: "progress" }, this.bar, this.percent);
    const fact = (label) => {
      const value = h("dd");
      const row = h("div", {}, h("dt", {}, label), value);
      return { row, value };
    };
    this.facts = {
      printed: fact("Printed"),
      left: fact("Left"),
      layer: fact("Layer"),
      z: fact("Z"),
    };
    this.factList = h("dl", { class: "facts" }, ...Object.values(this.facts).map((item) => item.row));
    this.jobBox = h("div", { class: "job" }, this.file, this.progress, this.factList);
    this.tempList = h("ul", { class: "temps", "aria-label": "Temperatures" });
    this.event = h("p", { class: "event" });
    this.outcomeText = h("span");
    this.outcome = h(
      "div",
      { class: "outcome" },
      this.outcomeText,
      (this.dismiss = h(
        "button",
        { type: "button", class: "quiet square", "aria-label": "Dismiss this message", onclick: () => actions.dismiss(id) },
        icon("close"),
      )),
    );
    const outcomeLive = h("div", { role: "status", class: "outcome-slot" }, this.outcome);
    this.buttons = Object.fromEntries(
      [
        ["pause", "Pause"],
        ["resume", "Resume"],
        ["cancel", "Cancel"],
      ].map(([command, label]) => [
        command,
        h(
          "button",
          { type: "button", "data-command": command, disabled: true, onclick: () => actions.command(command, id) },
          icon(command),
          label,
        ),
      ]),
    );
    this.webButton = h(
      "button",
      { type: "button", class: "quiet square", "data-action": "web", onclick: () => actions.webInterface(id) },
      icon("open"),
    );
    this.controlButton = h(
      "button",
      { type: "button", class: "quiet square", "data-action": "control", onclick: () => actions.control(id) },
      icon("move"),
    );
    this.settingsButton = h(
      "button",
      { type: "button", class: "quiet square", "data-action": "settings", onclick: () => actions.settings(id) },
      icon("settings"),
    );
    this.live = h("p", { class: "sr-only", "aria-live": "polite" });
    this.watch = new Watch(id, actions);
    this.node = h(
      "article",
      { class: "card", "data-printer": id, "aria-labelledby": heading },
      (this.frame = h("div", { class: "picture blank" }, this.img, this.noPicture, this.chip, this.age)),
      h(
        "div",
        { class: "body" },
        h("header", { class: "card-head" }, h("div", { class: "titles" }, this.name, this.since), this.controlButton, this.webButton, this.settingsButton),
        this.message,
        this.jobBox,
        this.tempList,
        this.watch.node,
        this.event,
        outcomeLive,
        h("div", { class: "buttons" }, ...Object.values(this.buttons)),
        this.live,
      ),
    );
  }

  /** store: see store.js. Called on every change and once a second for the ages. */
  update(store) {
    const entry = store.entry(this.id);
    if (!entry) return;
    const { printer } = entry;
    const fresh = store.fresh(this.id);
    const state = printerState(printer);
    const name = printerName(printer);
    const now = store.serverNow();

    this.node.dataset.kind = state.kind;
    this.node.dataset.tone = state.tone;
    this.node.classList.toggle("stale", !fresh);
    setText(this.name, name);
    setTitle(this.name, name);
    setText(this.stateText, fresh ? state.label : `Was: ${state.label}`);
    setTitle(this.chip, state.raw && state.raw !== state.label ? `The printer says: ${state.raw}` : null);
    setIcon(this.stateIcon, state.icon);
    this.settingsButton.setAttribute("aria-label", `Settings of ${name}`);
    this.controlButton.setAttribute("aria-label", `Control ${name}`);
    setTitle(this.controlButton, "Move, heat, terminal");
    this.controlButton.disabled = !fresh || !printer.agent_connected;
    this.webButton.setAttribute("aria-label", `Open web interface of ${name}`);
    setTitle(this.webButton, "Open web interface");
    this.webButton.disabled = !fresh || !printer.agent_connected;
    show(this.controlButton, may("operator"));
    show(this.webButton, may("admin"));
    show(this.settingsButton, may("admin"));
    this.#presence(store, entry, state, fresh, now);
    this.#message(printer, state);
    this.#job(printer, now);
    this.#temperatures(printer);
    this.watch.update(printer, hasJob(printer), now);
    this.#picture(printer, name, fresh, now);
    this.#event(store.events.get(this.id), now);
    this.#outcome(entry);
    this.#buttons(printer, entry, fresh, name);
    this.#speak(name, state, fresh);
  }

  #presence(store, entry, state, fresh, now) {
    let line;
    let title = null;
    if (!fresh) {
      line = `Not live: as of ${format.clock(new Date(entry.received))}`;
      title = new Date(entry.received).toISOString();
    } else if (state.kind === "offline") {
      const since = format.toDate(entry.printer.last_seen_at) ?? new Date(entry.offlineSeen + store.skew);
      line = entry.printer.agent_name
        ? `Offline since ${format.moment(since, now)} (${format.duration((now - since.getTime()) / 1000)})`
        : "Has not connected yet";
      title = since.toISOString();
    } else {
      const seen = entry.onlineSeen === null ? null : new Date(entry.onlineSeen + store.skew);
      const since = format.toDate(entry.printer.online_since) ?? seen;
      line = since ? `Online since ${format.moment(since, now)}` : "Online";
      title = since?.toISOString() ?? null;
    }
    setText(this.since, line);
    setTitle(this.since, title);
  }

  #message(printer, state) {
    const words =
      state.kind === "error" || state.kind === "disconnected"
        ? (format.text(printer.status?.state?.error) ?? (state.raw === state.label ? null : state.raw))
        : format.text(printer.status?.display_status?.message);
    setText(this.message, words);
    show(this.message, words !== null);
  }

  #job(printer, now) {
    const working = hasJob(printer);
    show(this.jobBox, working);
    if (!working) return;
    const file = fileName(printer);
    setText(this.file, file ?? "File name not known");
    setTitle(this.file, file);
    const facts = job(printer);
    const value = facts.completion === null ? null : Math.min(100, Math.max(0, facts.completion));
    if (value === null) this.bar.removeAttribute("value");
    else if (this.bar.value !== value) this.bar.value = value;
    this.bar.setAttribute("aria-label", `Progress of ${file ?? "the print"}`);
    setText(this.percent, format.percent(value));
    setText(this.facts.printed.value, format.duration(facts.printed));
    setText(this.facts.left.value, format.duration(facts.left));
    setTitle(this.facts.left.row, facts.left === null ? null : `Done at about ${format.moment(new Date(now + facts.left * 1000), now)}`);
    setText(
      this.facts.layer.value,
      facts.layer === null ? format.UNKNOWN : facts.layers === null ? `${facts.layer}` : `${facts.layer} / ${facts.layers}`,
    );
    setText(this.facts.z.value, facts.z === null ? format.UNKNOWN : `${facts.z.toFixed(2)} mm`);
  }

  #temperatures(printer) {
    const list = format.heaters(printer.status?.temperatures).slice(0, 12); // a screenful; sensors beyond it are noise
    const keys = list.map((heater) => heater.key);
    if (keys.join("\n") !== [...this.#temps.keys()].join("\n")) {
      this.#temps.clear();
      for (const heater of list) {
        const value = h("span", { class: "value" });
        const node = h("li", {}, icon(HEATER_ICON(heater.key)), h("span", { class: "label" }, heater.name), value);
        this.#temps.set(heater.key, { node, value });
      }
      this.tempList.replaceChildren(...[...this.#temps.values()].map((item) => item.node));
    }
    for (const heater of list) {
      const item = this.#temps.get(heater.key);
      setText(item.value, heater.text);
      item.node.classList.toggle("heating", heater.heating);
    }
    show(this.tempList, list.length > 0);
  }

  #picture(printer, name, fresh, now) {
    const address = mediaUrl(printer.pic?.img_url, document.baseURI);
    const taken = format.toDate(printer.pic?.at);
    const settings = printer.settings ?? {};
    const turn = [90, 180, 270].includes(settings.webcam_rotation) ? settings.webcam_rotation : 0;
    this.img.dataset.turn = turn;
    this.img.dataset.flip = `${settings.webcam_flipH ? "h" : ""}${settings.webcam_flipV ? "v" : ""}`;
    // The address carries a signature that is new in each frame: only a new picture is worth a fetch.
    const key = printer.pic?.at ?? address;
    if (address !== null && key !== this.#shown && key !== this.#loading && key !== this.#failed) {
      this.#load(address, key, taken);
    }
    const shown = this.#shown !== null;
    show(this.img, shown);
    show(this.noPicture, !shown);
    this.frame.classList.toggle("blank", !shown);
    const seconds = this.#taken ? Math.max(0, (now - this.#taken.getTime()) / 1000) : null;
    show(this.age, shown && seconds !== null);
    if (shown) {
      const words = seconds === null ? "age unknown" : format.ago(seconds);
      setText(this.age, words);
      setTitle(this.age, this.#taken ? `Picture taken ${this.#taken.toISOString()}` : null);
      this.age.classList.toggle("old", seconds === null || seconds > OLD_PICTURE || !fresh);
      // Screen readers get the time, not a text that changes each second.
      const alt = `Camera picture of ${name}${this.#taken ? `, taken at ${format.clock(this.#taken)}` : ""}`;
      if (this.img.alt !== alt) this.img.alt = alt;
    }
  }

  /** Fetches and decodes first, then swaps: no flicker, and a broken picture leaves the last good one. */
  async #load(address, key, taken) {
    this.#loading = key;
    const next = new Image();
    next.src = address;
    try {
      await next.decode();
    } catch {
      if (this.#loading !== key) return;
      this.#failed = key;
      setTimeout(() => (this.#failed = null), RETRY_PICTURE);
      setText(this.noPictureText, "The picture cannot be shown");
      this.#loading = null;
      return;
    }
    if (this.#loading !== key) return; // a newer one is on its way
    this.#loading = null;
    this.#shown = key;
    this.#taken = taken;
    this.img.src = next.src;
    this.onPicture();
  }

  #event(event, now) {
    const words = event ? (EVENT_WORDS[event.event_type] ?? format.text(event.event_title)) : null;
    const at = format.toDate(event?.created_at);
    show(this.event, Boolean(words));
    if (!words) return;
    setText(this.event, at ? `Last event: ${words}, ${format.moment(at, now)}` : `Last event: ${words}`);
    setTitle(this.event, at?.toISOString());
  }

  #outcome(entry) {
    const { outcome } = entry;
    show(this.outcome, outcome !== null);
    setText(this.outcomeText, outcome?.text ?? "");
    this.outcome.dataset.tone = outcome?.tone ?? "";
    show(this.dismiss, outcome !== null && outcome.tone !== "busy");
  }

  #buttons(printer, entry, fresh, name) {
    const possible = allowed(printer);
    const paused = printerState(printer).kind === "paused" || printerState(printer).phase === "resuming";
    const { outcome } = entry;
    const pending = outcome !== null && !outcome.final && Date.now() - outcome.at < REPEAT_AFTER ? outcome.command : null;
    show(this.buttons.pause, !paused);
    show(this.buttons.resume, paused);
    for (const [command, button] of Object.entries(this.buttons)) {
      // Cancel stays possible while a pause waits, perhaps for minutes, behind a line that heats.
      const held = pending === command || (pending !== null && command !== "cancel");
      button.disabled = !fresh || held || !possible[command];
      button.setAttribute("aria-label", `${button.textContent} the print on ${name}`);
    }
    show(this.buttons.pause.parentElement, may("operator") && (hasJob(printer) || isDownloading(printer)));
  }

  #speak(name, state, fresh) {
    const spoken = `${fresh}:${state.label}`;
    if (spoken === this.#spokenState) return;
    const first = this.#spokenState === null;
    this.#spokenState = spoken;
    // The first state is read with the page; only changes are announced.
    if (!first) setText(this.live, fresh ? `${name}: ${state.label}` : `${name}: connection lost, was ${state.label}`);
  }
}
