// Values into words. Pure: nothing here reads the clock, the page or the network.

export const UNKNOWN = "–";

/** A finite number, or null: what comes over the wire may be anything. */
export function num(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** A non-empty string, or null. */
export function text(value) {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : null;
}

/** Seconds as a person says them: "45 s", "12 min", "3 h 05 min", "2 d 4 h". Null becomes a dash. */
export function duration(seconds) {
  const value = num(seconds);
  if (value === null || value < 0) return UNKNOWN;
  if (value < 59.5) return `${Math.round(value)} s`;
  const minutes = Math.round(value / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  const days = Math.floor(hours / 24);
  return `${days} d ${hours % 24} h`;
}

/** How long ago, with seconds only while they matter. */
export function ago(seconds) {
  const value = num(seconds);
  if (value === null) return UNKNOWN;
  if (value < 2) return "just now";
  return `${duration(value)} ago`;
}

/** "1:59:07" or "4:09": a count-down. Never below zero. */
export function countdown(seconds) {
  const whole = Math.max(0, Math.floor(num(seconds) ?? 0));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Percent 0–100 as text; one decimal so that a slow print is seen to move, never "100 %" before it is. */
export function percent(value) {
  const number = num(value);
  if (number === null) return UNKNOWN;
  const clamped = Math.min(100, Math.max(0, number));
  if (clamped === 100) return "100 %";
  return `${(Math.floor(clamped * 10) / 10).toFixed(1)} %`;
}

/** Degrees without a unit: whole where the heater is set, so that the figures do not dance. */
export function degrees(value) {
  const number = num(value);
  return number === null ? UNKNOWN : String(Math.round(number));
}

/** "215 / 215 °C", "31 °C" for a sensor, "24 °C, off" for a heater without a target. */
export function temperature(heater) {
  const actual = `${degrees(heater?.actual)}`;
  const target = num(heater?.target);
  if (target === null) return `${actual} °C`;
  return target > 0 ? `${actual} / ${degrees(target)} °C` : `${actual} °C, off`;
}

/** tool0 → "Nozzle", tool1 → "Nozzle 2", bed → "Bed"; anything else keeps its own name. */
export function heaterName(key, tools = 1) {
  const tool = /^(?:tool|extruder)(\d*)$/.exec(key);
  if (tool) return tools > 1 ? `Nozzle ${Number(tool[1] || 0) + 1}` : "Nozzle";
  if (key === "bed" || key === "heater_bed") return "Bed";
  const words = key.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Nozzles, bed, chamber, then the rest by name; entries that know nothing are left out. */
export function heaters(temperatures) {
  if (temperatures === null || typeof temperatures !== "object") return [];
  const known = Object.entries(temperatures).filter(
    ([, value]) => value && (num(value.actual) !== null || num(value.target) !== null),
  );
  const isTool = (key) => /^(tool|extruder)\d*$/.test(key);
  const rank = (key) => (isTool(key) ? 0 : key === "bed" || key === "heater_bed" ? 1 : key === "chamber" ? 2 : 3);
  known.sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b, undefined, { numeric: true }));
  const tools = known.filter(([key]) => isTool(key)).length;
  return known.map(([key, value]) => ({
    key,
    name: heaterName(key, tools),
    text: temperature(value),
    heating: (num(value.target) ?? 0) > 0,
  }));
}

/** Millimetres without needless zeros: 6.5, 12. */
export function millimetres(value) {
  const number = num(value);
  return number === null ? UNKNOWN : `${Math.round(number * 100) / 100} mm`;
}

/** Unix seconds, milliseconds of a Date, or an ISO string → Date, or null. */
export function toDate(value) {
  if (value instanceof Date) return value;
  const date = typeof value === "number" ? new Date(value * 1000) : typeof value === "string" ? new Date(value) : null;
  return date !== null && Number.isFinite(date.getTime()) ? date : null;
}

/** A point in time in the reader's zone: the time alone for today, else with the day. */
export function moment(value, now) {
  const date = toDate(value);
  if (date === null) return UNKNOWN;
  const time = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === new Date(now).toDateString()) return time;
  const day = date.toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short" });
  return `${day}, ${time}`;
}

/** The same, to the second: for "as of …". */
export function clock(value) {
  const date = toDate(value);
  return date === null ? UNKNOWN : date.toLocaleTimeString();
}
