// Shows /api/openapi.json to people, or with ?api=v1 the fleet API's: calls by tag, then objects. No library, nothing
// from elsewhere.
import { h, setText, show } from "./dom.js";

const main = document.getElementById("main");
const state = document.getElementById("state");
const FLEET = new URLSearchParams(location.search).get("api") === "v1";
const DOCUMENT = FLEET ? "/v1/openapi.json" : "/api/openapi.json";
const METHODS = ["get", "post", "put", "patch", "delete"];

/** Text with `code` and **strong** as nodes. */
function prose(text) {
  return (text ?? "").split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`") && part.length > 1) return h("code", {}, part.slice(1, -1));
    if (part.startsWith("**") && part.length > 4) return h("strong", {}, part.slice(2, -2));
    return part;
  });
}

function paragraphs(text) {
  return (text ?? "").split(/\n\s*\n/).filter(Boolean).map((part) => h("p", {}, ...prose(part)));
}

const nameOf = (ref) => ref.split("/").pop();

/** A schema as one line: nodes, with links to objects. */
function type(schema) {
  if (!schema || Object.keys(schema).length === 0) return ["anything"];
  if (schema.$ref) return [h("a", { href: `#object-${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.flatMap((each, index) => [...(index ? [" or "] : []), ...type(each)]);
  if (schema.const !== undefined) return [h("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return schema.enum.flatMap((word, index) => [...(index ? [", "] : []), h("code", {}, String(word))]);
  if (schema.type === "array") return ["list of ", ...type(schema.items)];
  if (schema.type === "object" && schema.additionalProperties && schema.additionalProperties !== true) {
    return ["map to ", ...type(schema.additionalProperties)];
  }
  const notes = [];
  if (schema.format) notes.push(schema.format);
  const low = schema.minimum ?? schema.minLength;
  const high = schema.maximum ?? schema.maxLength;
  if (low !== undefined || high !== undefined) notes.push(`${low ?? "…"} to ${high ?? "…"}`);
  const word = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type ?? "anything";
  return [word + (notes.length ? ` (${notes.join(", ")})` : "")];
}

function fields(schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) =>
    h("tr", {}, h("th", { scope: "row" }, name),
      h("td", {}, ...type(field), required.has(name) ? null : h("span", { class: "soft" }, " (optional)")),
      h("td", {}, ...prose(field.description))));
  return h("table", {}, h("tbody", {}, ...rows));
}

function example(value) {
  return value === undefined ? null : h("pre", { tabindex: "0" }, JSON.stringify(value, null, 2));
}

function contents(content) {
  return Object.entries(content ?? {}).flatMap(([media, each]) => [
    h("p", {}, h("code", {}, media), ": ", ...type(each.schema)), example(each.example),
    ...Object.values(each.examples ?? {}).map((one) => example(one.value)),
  ]);
}

function security(schemes) {
  const word = { session: "session cookie", csrf: "X-CSRFToken", key: "Bearer key", keyHeader: "X-API-KEY", agent: "agent’s token" };
  if (!schemes?.length) return "nothing";
  return schemes.map((each) => Object.keys(each).map((name) => word[name] ?? name).join(" + ")).join(", or ");
}

function call(path, method, operation) {
  const params = (operation.parameters ?? []).map((each) =>
    h("tr", {}, h("th", { scope: "row" }, each.name), h("td", { class: "soft" }, each.in),
      h("td", {}, ...type(each.schema), each.required ? null : h("span", { class: "soft" }, " (optional)")),
      h("td", {}, ...prose(each.description))));
  const answers = Object.entries(operation.responses).map(([status, each]) =>
    h("div", {}, h("p", {}, h("strong", {}, status), " ", ...prose(each.description)), ...contents(each.content)));
  const node = h("details", { class: "call", id: operation.operationId },
    h("summary", {}, h("span", { class: `method ${method}` }, method.toUpperCase()), h("code", {}, path), " ",
      h("span", { class: "soft" }, operation.summary ?? "")),
    h("div", { class: "body" }, ...paragraphs(operation.description),
      h("p", { class: "soft" }, "Needs: ", security(operation.security)),
      params.length ? h("h3", {}, "Parameters") : null, params.length ? h("table", {}, h("tbody", {}, ...params)) : null,
      operation.requestBody ? h("h3", {}, "Body") : null, ...contents(operation.requestBody?.content),
      h("h3", {}, "Answers"), ...answers));
  node.dataset.words = [method, path, operation.summary, operation.description, ...(operation.parameters ?? []).map((each) => each.name)]
    .join(" ").toLowerCase();
  return node;
}

function object(name, schema) {
  const node = h("details", { class: "object", id: `object-${name}` },
    h("summary", {}, h("code", {}, name)),
    h("div", { class: "body" }, ...paragraphs(schema.description), schema.properties ? fields(schema) : h("p", {}, ...type(schema))));
  node.dataset.words = [name, schema.description, ...Object.keys(schema.properties ?? {})].join(" ").toLowerCase();
  return node;
}

function section(id, title, text, children) {
  return h("section", { id, "aria-label": title }, h("h2", {}, title), ...paragraphs(text), ...children);
}

/** Opens what the address points at. */
function goToTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target.scrollIntoView();
}

function filter(word) {
  for (const node of main.querySelectorAll("details")) show(node, node.dataset.words.includes(word));
  for (const node of main.querySelectorAll("section[id]")) {
    show(node, word === "" || node.querySelector("details:not([hidden])") !== null);
  }
}

function render(spec) {
  setText(document.getElementById("version"), spec.info.version);
  const base = FLEET ? spec.servers[0].url : "";
  const byTag = new Map(spec.tags.map((tag) => [tag.name, { text: tag.description, calls: [] }]));
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const method of METHODS.filter((each) => methods[each])) {
      byTag.get(methods[method].tags[0])?.calls.push(call(base + path, method, methods[method]));
    }
  }
  const sections = [...byTag].filter(([, tag]) => tag.calls.length)
    .map(([name, tag]) => section(`tag-${name}`, name, tag.text, tag.calls));
  const objects = Object.entries(spec.components.schemas).map(([name, schema]) => object(name, schema));
  sections.push(section("objects", "objects", "", objects));
  document.getElementById("contents").append(
    ...sections.map((each) => h("a", { href: `#${each.id}` }, each.getAttribute("aria-label"))));
  main.replaceChildren(...paragraphs(spec.info.description), ...sections);
}

for (const link of document.querySelectorAll("#which a")) {
  if (link.search === (FLEET ? "?api=v1" : "")) link.setAttribute("aria-current", "page");
}
document.getElementById("document").href = DOCUMENT;

try {
  const answer = await fetch(DOCUMENT);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  render(await answer.json());
  document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value.trim().toLowerCase()));
  window.addEventListener("hashchange", goToTarget);
  goToTarget();
} catch (error) {
  setText(state, `The document cannot be read: ${error.message}`);
}
main.removeAttribute("aria-busy");
