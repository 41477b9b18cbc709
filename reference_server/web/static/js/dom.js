// Building the page from nodes and text. Nothing in this program ever parses foreign text as HTML.

const SVG = "http://www.w3.org/2000/svg";
const SPRITE = new URL("../icons.svg", import.meta.url).pathname;

/**
 * h("button", {class: "quiet", type: "button", onclick: f, "aria-label": "…"}, "text", node, …)
 * Functions become listeners, true/false/null set or leave out an attribute.
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.replace(/^on/, ""), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Its children from now on; null is left out. */
export function fill(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null));
}

/** A drawing from icons.svg; decoration only, so hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${SPRITE}#${name}`);
  svg.append(use);
  return svg;
}

export function setIcon(svg, name) {
  const href = `${SPRITE}#${name}`;
  const use = svg.firstElementChild;
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/** Writes only what changed: no needless layout, no screen reader repeating itself. */
export function setText(node, value) {
  const words = value ?? "";
  if (node.textContent !== words) node.textContent = words;
}

export function setTitle(node, value) {
  if (!value) node.removeAttribute("title");
  else if (node.title !== value) node.title = value;
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}
