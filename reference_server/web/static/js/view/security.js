// Who may come in: password, second factor, sessions, API keys.
import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { moment, text } from "../format.js";
import { may } from "../role.js";
import { confirmAction, openDialog } from "./confirm.js";
import { field } from "./fields.js";
import { FleetKeys, People } from "./fleet_keys.js";
import { Panel } from "./panel.js";

class SecurityView extends Panel {
  constructor(now) {
    super("Security", "security");
    this.now = now;
    this.factor = h("section", { class: "dialog-body more" });
    this.sessions = h("section", { class: "dialog-body more" });
    this.keys = h("section", { class: "dialog-body more" });
    this.dialog.append(this.head, h("div", { class: "dialog-body" }, this.said, this.trouble), this.#password(), this.factor, this.sessions, this.keys);
    this.others = may("admin") ? [new FleetKeys(this, now), new People(this, now)] : [];
    this.dialog.append(...this.others.map((part) => part.node));
  }

  async open() {
    await Promise.all([this.#loadFactor(), this.#loadSessions(), this.#loadKeys(), ...this.others.map((part) => part.load())]);
    return openDialog(this.dialog);
  }

  #password() {
    const old = field("Present password", h("input", { type: "password", autocomplete: "current-password" }));
    const fresh = field("New password", h("input", { type: "password", autocomplete: "new-password", minlength: 8 }), { hint: "8 characters or more." });
    const form = h(
      "form",
      { novalidate: true, class: "dialog-body" },
      h("h3", {}, "Password"),
      h("div", { class: "pair" }, old.node, fresh.node),
      h("div", { class: "row" }, h("button", { type: "submit" }, "Change the password")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.do(async () => {
        await api.changePassword(old.control.value, fresh.control.value);
        form.reset();
        await this.#loadSessions();
      }, "The password is changed. Everybody else who was logged in as you is logged out.");
    });
    return form;
  }

  async #loadFactor() {
    const state = await api.secondFactor();
    const password = field("Your password", h("input", { type: "password", autocomplete: "current-password" }));
    const title = h("h3", {}, "Second factor");
    if (state.enabled) {
      this.factor.replaceChildren(
        title,
        h("p", { class: "hint" }, `On since ${moment(state.confirmed_at, this.now())}. ${state.recovery_codes_left} recovery codes are left.`),
        password.node,
        h(
          "div",
          { class: "row" },
          h("button", { type: "button", onclick: () => this.do(async () => this.#showCodes((await api.newRecoveryCodes(password.control.value)).recovery_codes)) }, "New recovery codes"),
          h("button", { type: "button", class: "danger-text", onclick: () => this.do(async () => { await api.removeSecondFactor(password.control.value); await this.#loadFactor(); }, "The second factor is off.") }, "Switch it off"),
        ),
      );
      return;
    }
    this.factor.replaceChildren(
      title,
      h("p", { class: "hint" }, "A code from an app on your phone, asked for at each log-in besides the password."),
      password.node,
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => this.do(async () => this.#enrol(await api.beginSecondFactor(password.control.value))) }, "Set it up")),
    );
  }

  #enrol(found) {
    const code = field("Code that the app shows now", h("input", { type: "text", inputmode: "numeric", autocomplete: "one-time-code", maxlength: 6 }));
    // As a picture: nothing in it is run.
    const drawing = h("img", { class: "qr", alt: "QR code to scan with the app", src: `data:image/svg+xml;base64,${btoa(found.qr_svg)}` });
    this.factor.replaceChildren(
      h("h3", {}, "Second factor"),
      h("p", {}, "Scan this with an authenticator app, or type the secret into it. Then enter the code it shows."),
      drawing,
      h("p", { class: "copyable" }, h("code", {}, found.secret)),
      code.node,
      h("div", { class: "row" }, h("button", { type: "button", class: "primary", onclick: () => this.do(async () => this.#showCodes((await api.confirmSecondFactor(code.control.value.trim())).recovery_codes)) }, "Switch it on")),
    );
  }

  #showCodes(codes) {
    this.factor.replaceChildren(
      h("h3", {}, "Recovery codes"),
      h("p", { class: "note" }, "Print them or write them down: each works once in place of a code, and they are shown only now."),
      h("ul", { class: "codes" }, ...codes.map((code) => h("li", {}, h("code", {}, code)))),
      h("div", { class: "row" }, h("button", { type: "button", class: "primary", onclick: () => this.do(() => this.#loadFactor(), "The second factor is on.") }, "I have kept them")),
    );
  }

  async #loadSessions() {
    const found = await api.sessions();
    this.sessions.replaceChildren(
      h("h3", {}, "Logged in"),
      h(
        "ul",
        { class: "channels" },
        ...found.map((session) =>
          h(
            "li",
            {},
            h("div", { class: "what" }, h("strong", {}, session.current ? "This browser" : (text(session.client) ?? "A browser")), h("span", { class: "hint" }, `${session.address ?? ""} · last seen ${moment(session.refreshed_at, this.now())}`)),
            session.current ? null : h("button", { type: "button", onclick: () => this.do(async () => { await api.endSession(session.id); await this.#loadSessions(); }, "That session has ended.") }, "Log it out"),
          ),
        ),
      ),
    );
  }

  async #loadKeys(made = null) {
    const found = await api.apiKeys();
    const name = field("Name of a new key", h("input", { type: "text", maxlength: 100, autocomplete: "off", placeholder: "My script" }));
    fill(
      this.keys,
      h("h3", {}, "API keys"),
      made ? h("p", { class: "note" }, "The new key, shown only now: ", h("code", {}, made)) : null,
      h(
        "ul",
        { class: "channels" },
        ...found.map((key) =>
          h(
            "li",
            {},
            h("div", { class: "what" }, h("strong", {}, text(key.name) ?? "A key"), h("span", { class: "hint" }, key.last_used_at ? `Last used ${moment(key.last_used_at, this.now())}` : "Never used")),
            h("button", { type: "button", class: "danger-text", onclick: () => this.#removeKey(key) }, "Revoke…"),
          ),
        ),
      ),
      name.node,
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => this.do(async () => this.#loadKeys((await api.addApiKey(name.control.value.trim())).key)) }, "Make a key")),
    );
  }

  async #removeKey(key) {
    const sure = await confirmAction({ title: `Revoke ${text(key.name) ?? "this key"}?`, lines: ["Programs that use it cannot come in any more."], yes: "Revoke it", no: "Keep it", danger: true });
    if (sure) await this.do(async () => { await api.removeApiKey(key.id); await this.#loadKeys(); }, "The key is revoked.");
  }
}

/** Opens the dialog. Throws ApiError when it cannot be filled. */
export const editSecurity = (now) => new SecurityView(now).open();
