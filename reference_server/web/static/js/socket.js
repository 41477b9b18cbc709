// One web socket that comes back by itself. Full-jitter back-off: first retry within 1 s, cap 30 s,
// forgotten once a connection has lived for 10 s.

const FIRST = 1000;
const CAP = 30_000;
const STABLE = 10_000;
const HANDSHAKE = 10_000;
// The close code that says: the session has ended. To try again is pointless until somebody has logged in.
const LOCKED_OUT = 1008;
// A pulled cable makes no noise. After QUIET without a frame the server is asked over HTTP, which has
// 5 s, so a dead link is noticed within 25 s.
const CHECK_EVERY = 5000;
const QUIET = 15_000;
// The seat-keeping message of wire-protocol §7; the server answers it after 45 s of silence.
const ASK_EVERY = 30_000;

/** The wait before attempt n (0, 1, …) in milliseconds. */
export function backoff(attempt, random = Math.random) {
  const ceiling = Math.min(CAP, FIRST * 2 ** Math.min(attempt, 10));
  return Math.max(50, random() * ceiling);
}

export class LiveSocket {
  #address;
  #on;
  #socket = null;
  #attempt = 0;
  #retry = null;
  #checks = null;
  #drop = () => {};
  #stopped = false;

  /**
   * on: {message(object), closed(opened, lockedOut), alive(): Promise that rejects when the server is gone}.
   * Connects at once; closed() comes once for every connection that ends or fails.
   */
  constructor(address, on) {
    this.#address = address;
    this.#on = on;
    this.#connect();
  }

  /** When the next attempt is due (Date.now() scale), or null while one runs. */
  retryAt = null;

  /** Try now instead of at the end of the wait (the network came back, the tab was woken, a person asked). */
  hurry() {
    if (this.#stopped || this.#retry === null) return;
    clearTimeout(this.#retry);
    this.#attempt = 0;
    this.#connect();
  }

  /** Give this connection up as dead and start over. */
  drop() {
    this.#drop();
  }

  close() {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#drop();
  }

  #connect() {
    this.#retry = null;
    this.retryAt = null;
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    let opened = null;
    let heard = 0;
    let asked = 0;
    let checking = false;
    let ended = false;

    const end = (event) => {
      if (ended) return;
      ended = true;
      clearTimeout(handshake);
      clearInterval(this.#checks);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      if (this.#stopped) return;
      if (opened !== null && performance.now() - opened > STABLE) this.#attempt = 0;
      const lockedOut = event?.code === LOCKED_OUT;
      const wait = lockedOut ? CAP : backoff(this.#attempt);
      this.#attempt += 1;
      this.retryAt = Date.now() + wait;
      this.#retry = setTimeout(() => this.#connect(), wait);
      this.#on.closed(opened !== null, lockedOut);
    };
    this.#drop = end;
    const handshake = setTimeout(end, HANDSHAKE);

    const check = async () => {
      const now = performance.now();
      if (now - asked >= ASK_EVERY) {
        asked = now;
        socket.send("{}");
      }
      if (checking || now - heard < QUIET) return;
      checking = true;
      try {
        await this.#on.alive();
        heard = performance.now();
      } catch {
        end();
      } finally {
        checking = false;
      }
    };

    socket.onopen = () => {
      clearTimeout(handshake);
      opened = heard = asked = performance.now();
      this.#checks = setInterval(check, CHECK_EVERY);
    };
    socket.onmessage = ({ data }) => {
      heard = performance.now();
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        return; // a frame that is no JSON says nothing
      }
      if (message !== null && typeof message === "object") this.#on.message(message);
    };
    socket.onclose = end;
  }
}
