"""Camera pictures for the tests, drawn by the browser itself: no imaging library, no files in the repository."""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import Browser

# A printer's gantry over a bed, and a vase printed to `part` (0 to 1) of its height.
_DRAW = """
({part, hue, label}) => {
  const width = 960, height = 600, canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  const c = canvas.getContext("2d");
  const wall = c.createLinearGradient(0, 0, 0, height);
  wall.addColorStop(0, "#39434a"); wall.addColorStop(0.7, "#20272b"); wall.addColorStop(1, "#14191c");
  c.fillStyle = wall; c.fillRect(0, 0, width, height);
  const lamp = c.createRadialGradient(480, 60, 20, 480, 200, 560);
  lamp.addColorStop(0, "rgba(255,244,220,.42)"); lamp.addColorStop(1, "rgba(255,244,220,0)");
  c.fillStyle = lamp; c.fillRect(0, 0, width, height);
  c.fillStyle = "#0e1214";                                        // uprights
  c.fillRect(120, 40, 34, 480); c.fillRect(806, 40, 34, 480);
  c.fillStyle = "#3a444a"; c.fillRect(128, 40, 8, 480); c.fillRect(814, 40, 8, 480);
  c.fillStyle = "#17120c";                                        // bed
  c.beginPath(); c.moveTo(190, 500); c.lineTo(770, 500); c.lineTo(850, 566); c.lineTo(110, 566); c.fill();
  c.fillStyle = "#c0893b";
  c.beginPath(); c.moveTo(196, 496); c.lineTo(764, 496); c.lineTo(836, 552); c.lineTo(124, 552); c.fill();
  const rows = 74, top = Math.round(rows * part), step = 4.6, base = 524;
  const radius = (i) => 74 + 34 * Math.sin(i / 11) + 12 * Math.sin(i / 4.4 + 1);
  for (let i = 0; i < top; i++) {                                 // layers
    const y = base - i * step, r = radius(i);
    const shade = c.createLinearGradient(480 - r, 0, 480 + r, 0);
    shade.addColorStop(0, `hsl(${hue} 62% 24%)`); shade.addColorStop(0.35, `hsl(${hue} 68% 60%)`);
    shade.addColorStop(1, `hsl(${hue} 62% 20%)`);
    c.fillStyle = shade;
    c.beginPath(); c.ellipse(480, y, r, r * 0.2, 0, 0, 7); c.fill();
    c.strokeStyle = "rgba(0,0,0,.18)"; c.stroke();
  }
  const y = base - top * step - 12, x = 480 + 60 * Math.sin(part * 40);
  c.fillStyle = "#0b0e10"; c.fillRect(120, y - 62, 720, 20);       // gantry
  c.fillStyle = "#59666d"; c.fillRect(120, y - 60, 720, 4);
  c.fillStyle = "#222a2e"; c.fillRect(x - 44, y - 84, 88, 58);     // tool head
  c.fillStyle = "#0b6579"; c.fillRect(x - 44, y - 84, 88, 10);
  c.fillStyle = "#c9a15a";
  c.beginPath(); c.moveTo(x - 14, y - 26); c.lineTo(x + 14, y - 26); c.lineTo(x + 3, y); c.lineTo(x - 3, y); c.fill();
  c.fillStyle = "rgba(255,255,255,.75)"; c.font = "18px sans-serif"; c.fillText(label, 20, 584);
  return canvas.toDataURL("image/jpeg", 0.82).split(",")[1];
}
"""


def draw(browser: Browser, part: float, *, hue: int = 190, label: str = "") -> bytes:
    """A 960 x 600 JPEG of a print that is `part` (0 to 1) of its height done."""
    page = browser.new_page()
    try:
        encoded: Any = page.evaluate(_DRAW, {"part": part, "hue": hue, "label": label})
    finally:
        page.close()
    return base64.b64decode(encoded)
