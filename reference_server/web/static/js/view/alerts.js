// Where alerts go, what is told, and when it is quiet.
import * as api from "../api.js";
import { h, setText, show } from "../dom.js";
import { moment, text } from "../format.js";
import { confirmAction, openDialog } from "./confirm.js";
import { check, choice, field, wrongFields } from "./fields.js";
import { Panel } from "./panel.js";

const WAYS = [
  ["email", "E-mail"],
  ["apprise", "Another service (ntfy, Telegram, Discord, Pushover, …)"],
  ["webhook", "Web hook (a program of yours, Home Assistant, …)"],
];
const TARGETS = {
  email: ["E-mail address", "Empty: your own address.", false],
  apprise: ["Address of the service", "As Apprise writes it, such as ntfy://my-topic or tgram://bot-token/chat-id. It is kept secret.", true],
  webhook: ["Address", "Gets a signed POST with everything about the event.", true],
};
const KINDS = {
  failure_detected: "A possible failure is seen",
  paused_by_detection: "The failure watch paused a print",
  print_done: "A print is finished",
  print_failed: "A print failed",
  print_cancelled: "A print was cancelled",
  filament_change: "Filament has to be changed",
  printer_error: "The printer reports an error",
  printer_offline: "A printer is gone in the middle of a print",
  printer_back: "… and is back",
  camera_trouble: "A camera does not work",
  agent_trouble: "An agent has a problem",
  channel_trouble: "One of these ways does not work any more",
  print_started: "A print began",
  print_paused: "A print was paused",
  print_resumed: "A print was resumed",
  heater_reached: "A heater is hot",
  heater_cooled: "A heater has cooled down",
};
const wayName = (kind) => WAYS.find(([key]) => key === kind)?.[1] ?? kind;

class AlertsView extends Panel {
  constructor(now) {
    super("Alerts", "alerts");
    this.now = now;
    this.list = h("ul", { class: "channels" });
    this.none = h("p", { class: "hint" }, "Nobody is told anything yet. Add a way below.");
    this.wishes = h("section", { class: "dialog-body more" });
    this.dialog.append(
      this.head,
      h("section", { class: "dialog-body" }, this.list, this.none, this.said, this.trouble),
      this.#form(),
      this.wishes,
    );
  }

  async open() {
    await this.#load();
    this.#drawWishes(await api.alertSettings());
    return openDialog(this.dialog);
  }

  async #load() {
    const channels = await api.channels();
    show(this.none, channels.length === 0);
    this.list.replaceChildren(...channels.map((channel) => this.#row(channel)));
  }

  #row(channel) {
    const state = channel.disabled_reason
      ? `Switched off: ${channel.disabled_reason}`
      : channel.failing_since
        ? `Failing since ${moment(channel.failing_since, this.now())}; tried again by itself`
        : channel.delivered_at
          ? `Last message ${moment(channel.delivered_at, this.now())}`
          : "No message yet";
    const name = text(channel.name) ?? wayName(channel.kind);
    return h(
      "li",
      { "data-tone": channel.disabled_reason || channel.failing_since ? "bad" : null },
      h("div", { class: "what" }, h("strong", {}, name), h("span", { class: "hint" }, [wayName(channel.kind).replace(/ \(.*/, ""), text(channel.target)].filter(Boolean).join(" · ")), h("span", { class: "hint state" }, channel.enabled ? state : "Switched off")),
      h("button", { type: "button", onclick: () => this.#test(channel, name) }, "Send a test"),
      h("button", { type: "button", onclick: () => this.do(async () => { await api.changeChannel(channel.id, { enabled: !channel.enabled }); await this.#load(); }) }, channel.enabled ? "Switch off" : "Switch on"),
      h("button", { type: "button", class: "danger-text", onclick: () => this.#remove(channel, name) }, "Remove…"),
    );
  }

  #test(channel, name) {
    return this.do(async () => {
      setText(this.said, `Sending to ${name}…`);
      const answer = await api.testChannel(channel.id);
      if (!answer.delivered) throw new Error(`The test to ${name} did not arrive: ${answer.detail}`);
      await this.#load();
    }, `The test to ${name} was taken. Look whether it arrived.`);
  }

  async #remove(channel, name) {
    const sure = await confirmAction({
      title: `Remove ${name}?`,
      lines: ["Nothing is sent there any more, also what is still waiting."],
      yes: "Remove it",
      no: "Keep it",
      danger: true,
    });
    if (sure) await this.do(async () => { await api.removeChannel(channel.id); await this.#load(); }, `${name} is removed.`);
  }

  #form() {
    const way = choice("Add a way to be told", WAYS, "email", null);
    const name = field("Name", h("input", { type: "text", maxlength: 100, autocomplete: "off", placeholder: "My phone" }));
    const target = field("Target", h("input", { type: "text", maxlength: 2000, autocomplete: "off", spellcheck: "false" }), { hint: " " });
    const secret = h("p", { class: "note", hidden: true });
    const adapt = () => {
      const [label, hint] = TARGETS[way.control.value];
      setText(target.node.querySelector("label"), label);
      setText(target.node.querySelector(".hint"), hint);
      target.complain(null);
    };
    way.control.addEventListener("change", adapt);
    adapt();
    const add = h("button", { type: "submit", class: "primary" }, "Add");
    const form = h("form", { novalidate: true, class: "more" }, h("div", { class: "dialog-body" }, way.node, h("div", { class: "pair" }, name.node, target.node), secret, h("div", { class: "row" }, add)));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const kind = way.control.value;
      if (TARGETS[kind][2] && target.control.value.trim() === "") {
        target.complain("Enter the address.");
        target.control.focus();
        return;
      }
      add.disabled = true;
      show(secret, false);
      target.complain(null);
      name.complain(null);
      try {
        const made = await api.addChannel({ kind, name: name.control.value.trim() || wayName(kind), target: target.control.value.trim() });
        if (made.secret) {
          setText(secret, `Signed with this secret, shown only now: ${made.secret}`);
          show(secret, true);
        }
        target.control.value = name.control.value = "";
        await this.#load();
        setText(this.said, "Added. Send a test to see whether it arrives.");
        show(this.trouble, false);
      } catch (error) {
        const wrong = wrongFields(error);
        target.complain(wrong.target ?? (wrong.name ? null : error.message));
        name.complain(wrong.name);
      } finally {
        add.disabled = false;
      }
    });
    return form;
  }

  #drawWishes(settings) {
    const kinds = Object.entries(KINDS).filter(([kind]) => kind in (settings.kinds ?? {}));
    const boxes = kinds.map(([kind, words]) => [kind, check(words, settings.kinds[kind] === true, null)]);
    const quiet = settings.quiet_hours;
    const on = check("Quiet hours", quiet !== null, "Only what cannot wait is told then: failures, errors, a printer that is gone.");
    const from = field("From", h("input", { type: "time" }));
    const until = field("Until", h("input", { type: "time" }));
    const then = choice("What comes meanwhile", [["hold", "Is told afterwards"], ["drop", "Is not told"]], quiet?.action ?? "hold", null);
    from.control.value = quiet?.from ?? "22:00";
    until.control.value = quiet?.until ?? "07:00";
    const times = h("div", { class: "pair" }, from.node, until.node);
    const adapt = () => [times, then.node].forEach((node) => show(node, on.control.checked));
    on.control.addEventListener("change", adapt);
    adapt();
    const save = h("button", { type: "button", class: "primary" }, "Save");
    save.addEventListener("click", () =>
      this.do(
        () =>
          api.changeAlertSettings({
            kinds: Object.fromEntries(boxes.map(([kind, box]) => [kind, box.control.checked])),
            quiet_hours: on.control.checked ? { from: from.control.value, until: until.control.value, action: then.control.value } : null,
            zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
          }),
        "Saved.",
      ),
    );
    this.wishes.replaceChildren(
      h("h3", {}, "Tell me when"),
      h("div", { class: "kinds" }, ...boxes.map(([, box]) => box.node)),
      on.node,
      times,
      then.node,
      h("div", { class: "row" }, save),
    );
  }
}

/** Opens the dialog. Throws ApiError when alerts cannot be read. */
export const editAlerts = (now) => new AlertsView(now).open();
