// Calls of a printer's agent over its web socket (wire-protocol §7, §8), while somebody has it in hand.
import { socketAddress } from "./api.js";

const ANSWER = 60_000; // ms; an agent answers within 60 s, and be it that it cannot
const MOST_WAITING = 50;

export class Calls {
  #socket;
  #opened;
  #waiting = new Map(); // ref → {resolve, reject, timer}
  #next = 0;
  #prefix = Math.random().toString(36).slice(2);

  /** line(text): one of the printer's terminal; closed(): the connection ended, and every call with it. */
  constructor(printerId, { line, closed }) {
    this.#socket = new WebSocket(socketAddress(`/ws/web/${printerId}/`));
    this.#opened = new Promise((resolve) => this.#socket.addEventListener("open", resolve, { once: true }));
    this.#socket.addEventListener("message", ({ data }) => {
      let said;
      try {
        said = JSON.parse(data)?.passthru;
      } catch {
        return;
      }
      if (typeof said?.terminal_feed?.msg === "string") line(said.terminal_feed.msg);
      else if (this.#waiting.has(said?.ref)) this.#settle(said);
    });
    this.#socket.addEventListener("close", () => {
      for (const ref of [...this.#waiting.keys()]) this.#settle({ ref, error: "The connection to the server is lost." });
      closed();
    });
  }

  /** What the agent returns; throws an Error with its words. */
  async call(name, args = [], kwargs = {}) {
    await this.#opened;
    if (this.#socket.readyState !== WebSocket.OPEN || this.#waiting.size >= MOST_WAITING) {
      throw new Error("The printer cannot be reached now.");
    }
    const dot = name.indexOf(".");
    const ref = `${this.#prefix}.${(this.#next += 1)}`;
    const call = { target: name.slice(0, dot), func: name.slice(dot + 1), args, kwargs, ref };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle({ ref, error: "The agent has not answered." }), ANSWER);
      this.#waiting.set(ref, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ passthru: call }));
    });
  }

  close() {
    this.#socket.close();
  }

  #settle(said) {
    const { resolve, reject, timer } = this.#waiting.get(said.ref);
    clearTimeout(timer);
    this.#waiting.delete(said.ref);
    if (said.error === undefined || said.error === null) resolve(said.ret);
    else reject(new Error(String(said.error)));
  }
}
