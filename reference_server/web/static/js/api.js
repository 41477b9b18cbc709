// The server's REST calls that the page makes (docs/server-api.md). Every call has a deadline.

const DEADLINE = 10_000; // ms

/** kind: "network" (no answer), "auth" (log in again), "refused" (the server said no; see detail). */
export class ApiError extends Error {
  constructor(kind, detail, { status = 0, errors = {} } = {}) {
    super(detail);
    this.kind = kind;
    this.status = status;
    this.errors = errors;
  }
}

function cookie(name) {
  for (const part of document.cookie.split("; ")) {
    if (part.startsWith(`${name}=`)) return decodeURIComponent(part.slice(name.length + 1));
  }
  return null;
}

/** Server clock minus ours in milliseconds, from the last answer's Date header; null before the first. */
export let skew = null;

async function call(method, path, body, deadline = DEADLINE) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const csrf = cookie("tsd_csrftoken");
  if (method !== "GET" && csrf !== null) headers["X-CSRFToken"] = csrf;
  let answer;
  let content = null;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(deadline),
    });
    const words = await answer.text();
    if ((answer.headers.get("content-type") ?? "").includes("json") && words !== "") content = JSON.parse(words);
  } catch {
    throw new ApiError("network", "The server did not answer. Check that it runs and that you can reach it.");
  }
  const date = Date.parse(answer.headers.get("date") ?? "");
  // The header is cut to whole seconds; anything below two is not worth believing.
  if (Number.isFinite(date)) skew = Math.abs(date + 500 - Date.now()) < 2000 ? 0 : date + 500 - Date.now();
  if (answer.ok) return content;
  const said = content?.detail ?? content?.error?.message; // of the Obico API, of the fleet API
  const detail = typeof said === "string" ? said : `The server answered ${answer.status}.`;
  const errors = content?.errors && typeof content.errors === "object" ? content.errors : {};
  let words = detail;
  if (answer.status === 429) {
    const wait = answer.headers.get("retry-after");
    words = `Too many tries. Wait ${wait ? `${wait} seconds` : "a little"} and try again.`;
  }
  throw new ApiError(answer.status === 401 ? "auth" : "refused", words, { status: answer.status, errors });
}

const get = (path) => call("GET", path);
const post = (path, body) => call("POST", path, body);

export const authState = () => get("/api/v1/auth/state/");
export const setUp = (token, name, password) => post("/api/v1/auth/setup/", { token, name, password });
export const logIn = (name, password, code) => post("/api/v1/auth/login/", { name, password, code });
/** {organization, inviter, email, role, expires_at, known} */
export const invitation = (token) => post("/api/v1/auth/invitation/", { token });
export const acceptInvitation = (token, name, password) =>
  post("/api/v1/auth/invitation/accept/", { token, name, password });
export const joinOrganization = (token) => post("/api/v1/auth/invitation/join/", { token });
export const logOut = () => post("/api/v1/auth/logout/");

/** asked: {response_type, client_id, redirect_uri, state}, as in the address of /o/authorize. */
export const oauthRequest = (asked) => get(`/api/v1/oauth/request/?${new URLSearchParams(asked)}`);
export const oauthGrant = (asked) => post("/api/v1/oauth/grant/", asked);

export const printers = () => get("/api/v1/printers/");
export const changePrinter = (id, fields) => call("PATCH", `/api/v1/printers/${id}/`, fields);
export const deletePrinter = (id) => call("DELETE", `/api/v1/printers/${id}/`);
/** command: pause | resume | cancel. Answers within about 2 s. */
export const command = (id, name) => post(`/api/v1/printers/${id}/${name}_print/`);

export const linkCode = (printerId) =>
  get(`/api/v1/onetimeverificationcodes/${printerId === null ? "" : `?printer_id=${printerId}`}`);
export const linkCodeState = (id) => get(`/api/v1/onetimeverificationcodes/${id}/`);

/** The printers that announce themselves from this network (wire-protocol.md §2.2). */
export const nearbyPrinters = () => get("/api/v1/printer_discovery/");
export const handOver = (code, deviceId, secret) =>
  post("/api/v1/printer_discovery/", { code, device_id: deviceId, device_secret: secret });
export const claimPasscode = (passcode, code) =>
  post("/api/v1/one_time_passcodes/", { one_time_passcode: passcode, verification_code: code });

/** verdict: "FAILED" | "NOT_FAILED" */
export const acknowledge = (id, verdict) => post(`/api/v1/printers/${id}/acknowledge_alert/?alert_overwrite=${verdict}`);
export const mute = (id, muted) => post(`/api/v1/printers/${id}/mute_current_print/?mute_alert=${muted}`);
/** [{camera, points: [[x, y], …] in fractions of the picture}] */
export const masks = (id) => get(`/api/v1/printers/${id}/masks/`);
export const setMasks = (id, masks) => call("PUT", `/api/v1/printers/${id}/masks/`, masks);
export const print = (id) => get(`/api/v1/prints/${id}/`);
export const deletePrint = (id) => call("DELETE", `/api/v1/prints/${id}/`);
export const decisions = (id) => get(`/api/v1/prints/${id}/decisions/`);
/** {available, reason, keys} */
export const webInterface = (id) => get(`/api/v1/printers/${id}/tunnel/`);
/** {url}: lets a browser in once, within a minute. */
export const openWebInterface = (id) => post(`/api/v1/printers/${id}/tunnel/`);
export const addTunnelKey = (id, name) => post(`/api/v1/printers/${id}/tunnel_keys/`, { name });
export const removeTunnelKey = (id, key) => call("DELETE", `/api/v1/printers/${id}/tunnel_keys/${key}/`);
export const channels = () => get("/api/v1/notification_channels/");
export const addChannel = (fields) => post("/api/v1/notification_channels/", fields);
export const changeChannel = (id, fields) => call("PATCH", `/api/v1/notification_channels/${id}/`, fields);
export const removeChannel = (id) => call("DELETE", `/api/v1/notification_channels/${id}/`);
/** Sends at once: it may take as long as the other side does. */
export const testChannel = (id) => call("POST", `/api/v1/notification_channels/${id}/test/`, {}, 40_000);
export const alertSettings = () => get("/api/v1/notification_settings/");
export const changeAlertSettings = (fields) => call("PATCH", "/api/v1/notification_settings/", fields);

export const changePassword = (old, fresh) => post("/api/v1/auth/password/", { old_password: old, new_password: fresh });
export const secondFactor = () => get("/api/v1/auth/second_factor/");
export const beginSecondFactor = (password) => post("/api/v1/auth/second_factor/", { password });
export const confirmSecondFactor = (code) => post("/api/v1/auth/second_factor/confirm/", { code });
export const newRecoveryCodes = (password) => post("/api/v1/auth/second_factor/recovery_codes/", { password });
export const removeSecondFactor = (password) => call("DELETE", "/api/v1/auth/second_factor/", { password });
export const sessions = () => get("/api/v1/auth/sessions/");
export const endSession = (id) => call("DELETE", `/api/v1/auth/sessions/${id}/`);
export const apiKeys = () => get("/api/v1/api_keys/");
export const addApiKey = (name) => post("/api/v1/api_keys/", { name });
export const removeApiKey = (id) => call("DELETE", `/api/v1/api_keys/${id}/`);

/** The fleet API (/v1): lists are {data, pagination}. */
export const fleetKeys = () => get("/v1/api-keys?per_page=100");
export const addFleetKey = (name, scopes) => post("/v1/api-keys", { name, scopes });
export const removeFleetKey = (id) => call("DELETE", `/v1/api-keys/${id}`);
export const users = () => get("/v1/users?per_page=100");
export const user = (id) => get(`/v1/users/${id}`);
export const changeRole = (id, role) => call("PATCH", `/v1/users/${id}`, { role });
export const removeUser = (id) => call("DELETE", `/v1/users/${id}`);
export const invitations = () => get("/v1/users/invitations?per_page=100");
/** Mails at once, where the server can. */
export const invite = (email, role) => call("POST", "/v1/users/invite", { email, role }, 70_000);
export const removeInvitation = (id) => call("DELETE", `/v1/users/invitations/${id}`);

export const recentPrints = (limit) => get(`/api/v1/prints/?sorting=date_desc&limit=${limit}`);
export const recentEvents = (limit) => get(`/api/v1/printer_events/?limit=${limit}`);
/** A sign of life, within 5 s. */
export const health = () => call("GET", "/healthz", undefined, 5000);

/** The address of a web socket on this server. */
export function socketAddress(path) {
  const address = new URL(path, document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}
