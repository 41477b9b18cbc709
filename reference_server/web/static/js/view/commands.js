// Pause, resume, cancel: the question, the command, and what became of it.
import { fileName, isDownloading, job, printIdentity, printerName, allowed } from "../state.js";
import { millimetres, percent, text } from "../format.js";
import { confirmAction } from "./confirm.js";

const quoted = (name) => (name ? `“${name}”` : "the print");

function pauseSteps(printer) {
  const steps = [];
  if (printer.retract_on_pause > 0) steps.push(`pulls the filament back ${millimetres(printer.retract_on_pause)}`);
  if (printer.lift_z_on_pause > 0) steps.push(`lifts the head ${millimetres(printer.lift_z_on_pause)}`);
  if (printer.tools_off_on_pause) steps.push("switches the nozzle heater off");
  if (printer.bed_off_on_pause) steps.push("switches the bed heater off");
  if (steps.length === 0) return "The printer stops where it is; heaters stay on.";
  const last = steps.pop();
  const sentence = steps.length > 0 ? `${steps.join(", ")} and ${last}` : last;
  const stays = [];
  if (!printer.tools_off_on_pause) stays.push("nozzle");
  if (!printer.bed_off_on_pause) stays.push("bed");
  const hot = stays.length > 0 ? ` The ${stays.join(" and ")} ${stays.length > 1 ? "stay" : "stays"} hot.` : "";
  return `The printer stops, then ${sentence}.${hot}`;
}

const QUESTIONS = {
  pause: (printer, name, file) => ({
    title: `Pause ${name}?`,
    lines: [`${quoted(file)} can be resumed later.`, pauseSteps(printer)],
    yes: "Pause",
    no: "Keep printing",
    iconName: "pause",
  }),
  resume: (printer, name, file) => ({
    title: `Resume ${name}?`,
    lines: [
      `The printer heats up to where it was, goes back to the part and prints on with ${quoted(file)}.`,
      "It will move: make sure that nobody's hand and nothing loose is in there.",
    ],
    yes: "Resume",
    no: "Stay paused",
    iconName: "resume",
  }),
  cancel: (printer, name, file) => {
    if (isDownloading(printer)) {
      return {
        title: `Stop the download to ${name}?`,
        lines: [`${quoted(text(printer.status?.download?.name))} is not printed then.`],
        yes: "Stop the download",
        no: "Go on",
        iconName: "cancel",
      };
    }
    const done = job(printer).completion;
    return {
      title: `Cancel the print on ${name}?`,
      lines: [
        `${quoted(file)} ends here${done === null ? "" : `, at ${percent(done)}`}, and cannot be continued.`,
        "The printer stops as its own cancel does; whether heaters go off depends on how it is set up.",
      ],
      yes: "Cancel the print",
      no: "Don't cancel",
      danger: true,
      iconName: "cancel",
    };
  },
};

export const VERBS = { pause: "Pause", resume: "Resume", cancel: "Cancel" };

/** True only if the person said yes and the print that the question was about is still the one running. */
export async function ask(command, store, id) {
  const printer = store.printer(id);
  const print = printIdentity(printer);
  const still = () => {
    const now = store.printer(id);
    return now !== undefined && store.fresh(id) && allowed(now)[command] && printIdentity(now) === print;
  };
  const answer = await confirmAction({
    ...QUESTIONS[command](printer, printerName(printer), fileName(printer)),
    watch: (close) => store.subscribe(() => still() || close()),
  });
  if (answer === null || (answer && !still())) {
    store.setOutcome(id, {
      tone: "warn",
      text: "The printer's state changed while you were deciding, so nothing was sent.",
      final: true,
    });
    return false;
  }
  return answer;
}

const WORKING = { pause: "the print pauses", resume: "the print resumes", cancel: "the print ends" };
const DONE = { pause: "Paused", resume: "Resumed", cancel: "Cancelled" };

/** Whether the printer is where the command wanted it: what a public agent shows instead of an answer. */
export function reached(command, kind) {
  if (command === "pause") return kind === "paused";
  if (command === "resume") return kind === "printing";
  return kind === "ready";
}

/** "Paused; retracted 6.5 mm, …": the agent's own sentence, which begins with the outcome already, or ours before it. */
function done(command, words) {
  if (words === null) return `${DONE[command]}.`;
  const begins = words.toLowerCase().startsWith(DONE[command].toLowerCase());
  return begins ? words.charAt(0).toUpperCase() + words.slice(1) : `${DONE[command]}; ${words}`;
}

/** What the agent said ({state, error, text} of docs/server-api.md) in a sentence. */
export function outcomeOf(command, agent) {
  const words = text(agent?.error) ?? text(agent?.text);
  switch (agent?.state) {
    case "accepted":
      // It may take minutes: a pause waits behind the line that heats.
      return { tone: "busy", text: `${VERBS[command]}: accepted by the printer. Waiting until ${WORKING[command]}.` };
    case "done":
      return { tone: "go", text: done(command, words), final: true };
    case "failed":
      return { tone: "bad", text: `${VERBS[command]} failed. The printer says: ${words ?? "nothing more."}`, final: true };
    case "rejected":
      return { tone: "bad", text: `${VERBS[command]} was refused. The printer says: ${words ?? "nothing more."}`, final: true };
    case "unknown":
      // An agent that never answers (a public one), or one that went away before it did.
      return { tone: "warn", text: `${VERBS[command]} sent. No confirmation will come: watch the printer's state.` };
    default:
      return { tone: "busy", text: `${VERBS[command]} sent. The printer has not confirmed it yet.` };
  }
}

/** What the server's refusal means for a person. */
export function refusal(command, reason) {
  const why = reason ?? "the server gave no reason";
  return /offline/i.test(why)
    ? { tone: "bad", text: `${VERBS[command]} was not sent: the printer is offline.`, final: true }
    : { tone: "bad", text: `${VERBS[command]} was not sent: ${why}.`, final: true };
}
