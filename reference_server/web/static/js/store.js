// What the page knows. One writer (live.js), many readers; readers are told at most once a tick.

export class Store {
  #entries = new Map();
  #listeners = new Set();
  #queued = false;
  #epoch = 0; // counts connections: what arrived in an earlier one is old

  /** link.state: "connecting" (never had one) | "live" | "lost"; lastLive: when it last was (ms) or null. */
  link = { state: "connecting", lastLive: null };
  /** Recent prints, newest first; null until known. */
  prints = null;
  /** Newest event by printer id. */
  events = new Map();
  /** Newest events of all printers, newest first; null until known. */
  allEvents = null;
  /** Server clock minus ours, ms: ages of server times are told by the server's clock. */
  skew = 0;

  serverNow() {
    return Date.now() + this.skew;
  }

  /** Returns the function that ends the subscription. */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sorted by name, then id: a card never jumps because its printer spoke. */
  ids() {
    return [...this.#entries.values()]
      .map(({ printer }) => printer)
      .sort(
        (a, b) => String(a.name).localeCompare(String(b.name), undefined, { numeric: true }) || a.id - b.id,
      )
      .map(({ id }) => id);
  }

  /** {printer, received, offlineSeen and onlineSeen (when this page saw it go or come; ms or null), outcome (or null)} */
  entry(id) {
    return this.#entries.get(id);
  }

  printer(id) {
    return this.#entries.get(id)?.printer;
  }

  /** Whether what is shown of this printer came over the present connection. */
  fresh(id) {
    return this.link.state === "live" && this.#entries.get(id)?.epoch === this.#epoch;
  }

  linkLive() {
    this.link = { state: "live", lastLive: null };
    this.changed();
  }

  linkLost() {
    if (this.link.state === "live") {
      this.link = { state: "lost", lastLive: Date.now() };
      this.#epoch += 1;
    } else if (this.link.state === "connecting") {
      this.link = { state: "lost", lastLive: null };
    }
    this.changed();
  }

  /** A whole Printer from the server. */
  put(printer) {
    const now = Date.now();
    const entry = this.#entries.get(printer.id) ?? { outcome: null, offlineSeen: null, onlineSeen: null };
    entry.printer = printer;
    entry.received = now;
    entry.epoch = this.#epoch;
    if (!printer.status) entry.onlineSeen = null;
    else if (entry.offlineSeen !== null) entry.onlineSeen = now;
    entry.offlineSeen = printer.status ? null : (entry.offlineSeen ?? now);
    this.#entries.set(printer.id, entry);
    this.changed();
  }

  /** Forget every printer that is not in this list. */
  keepOnly(ids) {
    for (const id of this.#entries.keys()) if (!ids.includes(id)) this.#entries.delete(id);
    this.changed();
  }

  /** outcome: {tone, text, final?, command?} or null; the time is added. */
  setOutcome(id, outcome) {
    const entry = this.#entries.get(id);
    if (entry) {
      if (outcome !== null) outcome.at = Date.now();
      entry.outcome = outcome;
    }
    this.changed();
  }

  setHistory(prints, events) {
    this.prints = prints;
    this.allEvents = events;
    this.events = new Map();
    for (const event of events) if (!this.events.has(event.printer)) this.events.set(event.printer, event);
    this.changed();
  }

  /** Tells the readers, once, after the present code is through. */
  changed() {
    if (this.#queued) return;
    this.#queued = true;
    // Not requestAnimationFrame: a hidden tab must still notice that a printer went away.
    queueMicrotask(() => {
      this.#queued = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
