// What the role of whoever is logged in allows (docs/people.md). The server decides; the page leaves away what it would
// refuse, and says why.
const RANKS = { viewer: 0, operator: 1, admin: 2, owner: 3 };

let me = { role: "viewer", organization: "" };

/** user: {role, organization} of the API, known before anything of it is drawn. */
export function setRole(user) {
  me = { role: user?.role in RANKS ? user.role : "viewer", organization: user?.organization ?? "" };
}

export const role = () => me.role;
/** lowest: "operator" | "admin" | "owner" */
export const may = (lowest) => RANKS[me.role] >= RANKS[lowest];
/** The roles that one may give. */
export const below = () => Object.keys(RANKS).filter((name) => RANKS[name] <= RANKS[me.role]);

/** Why something is missing on the page, for whoever may not do everything; null for the others. */
export function limits() {
  if (may("admin")) return null;
  const where = me.organization === "" ? "here" : `of ${me.organization}`;
  return me.role === "viewer"
    ? `You are a viewer ${where}: you see everything. Operators pause, resume and cancel; admins change settings and link printers.`
    : `You are an operator ${where}: you control printers. Admins change settings and link printers.`;
}
