// Keys of the fleet API (/v1), and the people of the organization: what admins and owners see on the Security dialog.
import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { moment, text } from "../format.js";
import { below } from "../role.js";
import { confirmAction } from "./confirm.js";
import { choice, field } from "./fields.js";

const SCOPES = [
  ["printers:read jobs:read materials:read analytics:read", "May look"],
  ["jobs:write jobs:read printers:read", "May queue jobs"],
  ["jobs:* printers:control printers:read materials:* analytics:read", "May run the farm"],
  ["admin:*", "May do everything"],
];

/** `panel`: whose `do` tells what was done, or what went wrong. */
export class FleetKeys {
  constructor(panel, now) {
    this.panel = panel;
    this.now = now;
    this.node = h("section", { class: "dialog-body more fleet-keys" });
  }

  async load(made = null) {
    const found = await api.fleetKeys();
    const name = field("Name of a new fleet key", h("input", { type: "text", maxlength: 100, autocomplete: "off", placeholder: "Shop system" }));
    const scopes = choice("What it may do", SCOPES, SCOPES[0][0], null);
    const make = () => this.panel.do(async () => this.load((await api.addFleetKey(name.control.value.trim(), scopes.control.value.split(" "))).key));
    fill(
      this.node,
      h("h3", {}, "API keys of the fleet"),
      h("p", { class: "hint" }, "For programs that use /v1: printers, jobs, materials, figures."),
      made ? h("p", { class: "note" }, "The new key, shown only now: ", h("code", {}, made)) : null,
      h("ul", { class: "channels" }, ...found.data.map((key) => this.#row(key))),
      h("div", { class: "pair" }, name.node, scopes.node),
      h("div", { class: "row" }, h("button", { type: "button", onclick: make }, "Make a fleet key")),
    );
  }

  #row(key) {
    const used = key.last_used_at ? `Last used ${moment(key.last_used_at, this.now())}` : "Never used";
    return h(
      "li",
      {},
      h("div", { class: "what" }, h("strong", {}, text(key.name) ?? "A key"), h("span", { class: "hint" }, `${key.scopes.join(" ")} · ${used}`)),
      h("button", { type: "button", class: "danger-text", onclick: () => this.#remove(key) }, "Revoke…"),
    );
  }

  async #remove(key) {
    const sure = await confirmAction({ title: `Revoke ${text(key.name) ?? "this key"}?`, lines: ["Programs that use it cannot come in any more."], yes: "Revoke it", no: "Keep it", danger: true });
    if (sure) await this.panel.do(async () => { await api.removeFleetKey(key.id); await this.load(); }, "The key is revoked.");
  }
}

export class People {
  constructor(panel, now) {
    this.panel = panel;
    this.now = now;
    this.node = h("section", { class: "dialog-body more people" });
  }

  async load(link = null) {
    const [users, open, me] = await Promise.all([api.users(), api.invitations(), api.user("me")]);
    const email = field("E-mail address", h("input", { type: "email", maxlength: 254, autocomplete: "off" }));
    const roles = below();
    const role = choice("Role", roles.map((name) => [name, name]), "viewer", null);
    const invite = () =>
      this.panel.do(async () => {
        const made = await api.invite(email.control.value.trim(), role.control.value);
        await this.load(made);
      }, "Invited.");
    fill(
      this.node,
      h("h3", {}, "People"),
      link ? this.#told(link) : null,
      h("ul", { class: "channels" }, ...users.data.map((user) => this.#row(user, user.id === me.id, roles)), ...open.data.map((one) => this.#invited(one))),
      h("div", { class: "pair" }, email.node, role.node),
      h("div", { class: "row" }, h("button", { type: "button", onclick: invite }, "Invite")),
    );
  }

  #told(made) {
    if (made.mailed) return h("p", { class: "note" }, `The invitation was mailed to ${made.email}.`);
    const why = made.mail_error ? `It could not be mailed (${made.mail_error}). ` : "";
    return h("p", { class: "note" }, `${why}Send this link to ${made.email}; it works once, within 7 days, and is shown only now: `, h("code", {}, made.invite_url));
  }

  #row(user, mine, roles) {
    const words = h("div", { class: "what" }, h("strong", {}, user.name), h("span", { class: "hint" }, [user.email, mine ? "you" : null].filter(Boolean).join(" · ")));
    if (mine || !roles.includes(user.role)) return h("li", {}, words, h("span", { class: "hint" }, user.role));
    const select = h("select", { "aria-label": `Role of ${user.name}` }, ...roles.map((name) => h("option", { value: name, selected: name === user.role }, name)));
    select.addEventListener("change", () => this.panel.do(async () => {
      try {
        await api.changeRole(user.id, select.value);
      } finally {
        await this.load();
      }
    }, `${user.name} is ${select.value} now.`));
    return h("li", {}, words, select, h("button", { type: "button", class: "danger-text", onclick: () => this.#remove(user) }, "Remove…"));
  }

  #invited(one) {
    return h(
      "li",
      {},
      h("div", { class: "what" }, h("strong", {}, one.email), h("span", { class: "hint" }, `Invited as ${one.role}, until ${moment(one.expires_at, this.now())}`)),
      h("button", { type: "button", onclick: () => this.panel.do(async () => { await api.removeInvitation(one.id); await this.load(); }, "The invitation is taken back.") }, "Take back"),
    );
  }

  async #remove(user) {
    const sure = await confirmAction({ title: `Remove ${user.name}?`, lines: [`${user.name} sees nothing of these printers any more; keys that ${user.name} made for them are void.`], yes: "Remove", no: "Keep", danger: true });
    if (sure) await this.panel.do(async () => { await api.removeUser(user.id); await this.load(); }, `${user.name} is removed.`);
  }
}
