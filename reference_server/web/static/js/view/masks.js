// Ignore masks: areas of the picture that the failure watch does not look at, drawn with the mouse, a finger or keys.
import * as api from "../api.js";
import { h, setText, show } from "../dom.js";
import { mediaUrl, printerName } from "../state.js";
import { dialogHead, openDialog } from "./confirm.js";

const MOST_POINTS = 50; // of one area; the server's limits are not lower
const MOST_AREAS = 10;
const STEP = 0.05; // of the picture's width, by one press of an arrow key
const SVG = "http://www.w3.org/2000/svg";

/** [[x, y], …] in fractions of the picture → "x,y x,y" in its 1000 x 1000 drawing. */
export const polygon = (points) => points.map(([x, y]) => `${Math.round(x * 1000)},${Math.round(y * 1000)}`).join(" ");

const inside = (value) => Math.min(1, Math.max(0, value));

function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** Lets a person draw; resolves true when masks were saved. */
export async function editMasks(printer) {
  const known = await api.masks(printer.id);
  const camera = known[0]?.camera ?? "";
  const areas = known.map((mask) => mask.points);
  let open = []; // the area that is being drawn
  const cursor = { x: 0.5, y: 0.5 };

  const dialog = h("dialog", { class: "masks" });
  const [head, id] = dialogHead(`What the watch ignores on ${printerName(printer)}`, dialog);
  dialog.setAttribute("aria-labelledby", id);
  const address = mediaUrl(printer.pic?.img_url, document.baseURI);
  const drawing = svg("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", class: "drawing" });
  const sheet = h(
    "div",
    { class: "sheet", tabindex: 0, role: "application", "aria-label": "Picture to draw on: arrow keys move, Space sets a corner, Enter closes the area" },
    address === null ? h("p", { class: "hint" }, "There is no picture yet: the areas are drawn on an empty sheet.") : h("img", { src: address, alt: "" }),
    drawing,
  );
  const words = h("p", { class: "hint", role: "status" });
  const trouble = h("p", { class: "form-error", role: "alert", hidden: true });
  const finish = h("button", { type: "button", onclick: close }, "Close this area");
  const undo = h("button", { type: "button", onclick: back }, "Undo");
  const clear = h("button", { type: "button", onclick: () => ((areas.length = 0), (open = []), draw()) }, "Remove all");
  const save = h("button", { type: "button", class: "primary", onclick: store }, "Save");

  function draw() {
    drawing.replaceChildren(
      ...areas.map((points) => svg("polygon", { points: polygon(points), class: "area" })),
      svg("polyline", { points: polygon(open), class: "open" }),
      ...open.map(([x, y]) => svg("circle", { cx: x * 1000, cy: y * 1000, r: 8, class: "corner" })),
      svg("circle", { cx: cursor.x * 1000, cy: cursor.y * 1000, r: 12, class: "cursor" }),
    );
    finish.disabled = open.length < 3;
    undo.disabled = open.length === 0 && areas.length === 0;
    clear.disabled = undo.disabled;
    const count = areas.length === 1 ? "1 area is" : `${areas.length} areas are`;
    setText(words, open.length > 0 ? `Corner ${open.length} set. An area needs three or more.` : `${count} ignored. Click corner after corner to draw one.`);
  }
  function add(x, y) {
    if (open.length >= MOST_POINTS || areas.length >= MOST_AREAS) {
      setText(words, `At most ${MOST_AREAS} areas with ${MOST_POINTS} corners each.`);
      return;
    }
    open.push([inside(x), inside(y)]);
    draw();
  }
  function close() {
    if (open.length < 3) return;
    areas.push(open);
    open = [];
    draw();
  }
  function back() {
    if (open.length > 0) open.pop();
    else open = areas.pop() ?? [];
    draw();
  }
  async function store() {
    close();
    save.disabled = true;
    show(trouble, false);
    try {
      await api.setMasks(printer.id, areas.map((points) => ({ camera, points })));
      dialog.close("saved");
    } catch (error) {
      setText(trouble, `Not saved: ${error.message}`);
      show(trouble, true);
    } finally {
      save.disabled = false;
    }
  }
  sheet.addEventListener("pointerdown", (event) => {
    const box = drawing.getBoundingClientRect();
    add((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  sheet.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (move) {
      cursor.x = inside(cursor.x + move[0]);
      cursor.y = inside(cursor.y + move[1]);
      draw();
    } else if (event.key === " ") add(cursor.x, cursor.y);
    else if (event.key === "Enter") close();
    else if (event.key === "Backspace") back();
    else return;
    event.preventDefault();
  });

  dialog.append(
    head,
    h("div", { class: "dialog-body" }, sheet, words, trouble),
    h("footer", { class: "dialog-foot" }, save, finish, undo, clear),
  );
  draw();
  return (await openDialog(dialog)) === "saved";
}
