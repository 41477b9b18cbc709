// What a Printer object of the API means for a person. Pure.
import { num, text } from "./format.js";

/** Texts ending in "ing" except "Printing" are passing states (wire-protocol §3.3). */
export function isTransitional(word) {
  return /ing$/i.test(word) && !/^printing/i.test(word);
}

const TRANSITION_FLAGS = ["pausing", "resuming", "cancelling", "finishing"];

/**
 * The one state that the page shows.
 * kind: offline | disconnected | error | printing | paused | busy | ready
 * Colour (tone) never stands alone: every kind has its icon and its words.
 */
export function printerState(printer) {
  const status = printer?.status;
  if (!status || typeof status !== "object" || !status.state) {
    return { kind: "offline", label: "Offline", tone: "off", icon: "offline", phase: null, raw: null };
  }
  const flags = status.state.flags ?? {};
  const raw = text(status.state.text) ?? "Unknown";
  const make = (kind, label, tone, icon, phase = null) => ({ kind, label, tone, icon, phase, raw });

  if (/^offline/i.test(raw) && !flags.error && !/error/i.test(raw)) {
    return make("disconnected", "Printer not connected", "off", "offline");
  }
  if (flags.error || /error/i.test(raw)) return make("error", "Error", "bad", "error");
  const phase = TRANSITION_FLAGS.find((name) => flags[name] === true) ?? (isTransitional(raw) ? raw.toLowerCase() : null);
  if (phase !== null) {
    const label = isTransitional(raw) ? raw : phase.charAt(0).toUpperCase() + phase.slice(1);
    return make("busy", label, "busy", "busy", phase);
  }
  if (flags.paused || /^paused/i.test(raw)) return make("paused", "Paused", "warn", "pause");
  if (flags.printing || /^printing/i.test(raw)) return make("printing", "Printing", "go", "printing");
  if (flags.closedOrError) return make("disconnected", "Printer not connected", "off", "offline");
  if (flags.ready || flags.operational || /^operational$/i.test(raw)) return make("ready", "Ready", "calm", "ready");
  return make("busy", raw, "busy", "busy", raw.toLowerCase());
}

/**
 * Which commands make sense now. Cancel stays possible while a pause or a resume is under way:
 * somebody may need it most while the nozzle heats up again (pause-contract, promise 7).
 */
export function allowed(printer) {
  const { kind, phase } = printerState(printer);
  const cancelInPassing = kind === "busy" && ["starting", "pausing", "resuming"].includes(phase);
  return {
    pause: kind === "printing",
    resume: kind === "paused",
    cancel: kind === "printing" || kind === "paused" || cancelInPassing || isDownloading(printer),
  };
}

/** A file is on its way to the printer, to be printed when it is there. */
export function isDownloading(printer) {
  return printerState(printer).phase === "g-code downloading";
}

export function hasJob(printer) {
  const { kind, phase } = printerState(printer);
  if (kind === "printing" || kind === "paused") return true;
  return kind === "busy" && ["starting", "pausing", "resuming", "cancelling", "finishing"].includes(phase);
}

/** The file in print, or the one loaded. */
export function fileName(printer) {
  const file = printer?.status?.job?.file ?? {};
  return text(printer?.current_print?.filename) ?? text(file.display) ?? text(file.name);
}

/** Everything about the job that the card shows; null where it is not known. */
export function job(printer) {
  const status = printer?.status ?? {};
  const progress = status.progress ?? {};
  return {
    completion: num(progress.completion),
    printed: num(progress.printTime),
    left: num(progress.printTimeLeft),
    layer: num(status.currentLayerHeight),
    layers: num(status.file_metadata?.obico?.totalLayerCount),
    z: num(status.currentZ),
    maxZ: num(status.file_metadata?.analysis?.printingArea?.maxZ),
  };
}

/** Identity of the print that is running, so that an answer given for one never hits another. */
export function printIdentity(printer) {
  return printer?.current_print?.id ?? null;
}

/** A printer's name is foreign text and may be empty. */
export function printerName(printer) {
  return text(printer?.name) ?? `Printer ${printer?.id ?? ""}`.trim();
}

/** Only a path below /media/ of this very server is ever shown as a picture. */
export function mediaUrl(address, base) {
  if (typeof address !== "string" || address === "") return null;
  let url;
  try {
    url = new URL(address, base);
  } catch {
    return null;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  return url.pathname.startsWith("/media/") ? url.pathname + url.search : null;
}
