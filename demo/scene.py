"""What the demo's camera sees, drawn: a part that grows, the nozzle above it, and how a print can go wrong.

Every picture follows from its arguments alone, so the same print can be drawn again. Needs Pillow.
"""

from __future__ import annotations

import enum
import io
import math
import random
import time
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

LAYERS = 60
MOST_STRANDS = 400


class Failure(enum.Enum):
    """How a print goes wrong (the last two: how the camera does)."""

    SPAGHETTI = "spaghetti"
    """The nozzle prints into the air: loose strands pile up."""
    DETACHED = "detached"
    """The part has come off the bed and lies elsewhere; what is printed from then on has nothing to stand on."""
    NOTHING = "nothing"
    """The nozzle moves on, and nothing comes out."""
    BLACK = "black"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the part is, 0 to 1, and what to write beside it."""

    fraction: float = 0.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure that began when the print was at `since` (0 to 1), `age` seconds ago."""

    failure: Failure
    since: float
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """One printer, one part, one place for the camera. Lengths are fractions of the picture's width or height.

    `radius`, `bulge`, `turns`, `phase`: the part's outline; `height`: of the finished part; `tilt`: how much from above
    the camera looks (0: from the side, 1: straight down); `gantry`: a beam moves up with the nozzle; `slide`: how far
    the bed with the part moves up and down in the picture, for printers whose bed does; `colour`: of the part;
    `text`: progress and clock are written into the picture.
    """

    radius: float = 0.11
    bulge: float = 0.05
    turns: float = 5.2
    phase: float = 0.4
    height: float = 0.6
    middle: float = 0.5
    ground: float = 0.84
    tilt: float = 0.22
    gantry: bool = True
    slide: float = 0.0
    colour: tuple[float, float, float] = (1.0, 0.5, 0.19)
    text: bool = True
    seed: int = 1


def draw(
    progress: Progress,
    size: tuple[int, int],
    title: str,
    seconds: float,
    look: Look = Look(),
    fault: Fault | None = None,
) -> bytes:
    """The scene at Unix time `seconds` as a JPEG of `size` pixels."""
    return to_jpeg(picture(progress, size, title, seconds, look, fault))


def picture(
    progress: Progress, size: tuple[int, int], title: str, seconds: float, look: Look, fault: Fault | None
) -> Image.Image:
    """The same as an image."""
    width, height = size
    if fault is not None and fault.failure is Failure.BLACK:
        return Image.new("RGB", size)
    image = Image.new("RGB", size, (38, 42, 48))
    pen = ImageDraw.Draw(image)
    slide = look.slide * height * math.sin(seconds * 1.7)
    ground = height * look.ground + slide
    depth = height * (0.16 + 0.3 * look.tilt)
    pen.polygon(
        [(width * 0.08, ground - depth * 0.3), (width * 0.92, ground - depth * 0.3),
         (width * 0.99, ground + depth), (width * 0.01, ground + depth)], (64, 68, 76),
    )  # fmt: skip
    there = progress.fraction if fault is None else min(progress.fraction, fault.since)
    if fault is not None and fault.failure is Failure.DETACHED:
        where = (width * (look.middle + (0.17 if look.middle < 0.6 else -0.17)), ground + height * 0.01)
        _part(pen, size, look, there, where, lean=0.5)
        _strands(pen, size, look, ground, there, _strand_count(progress, fault) // 4)
    else:
        _part(pen, size, look, there, (width * look.middle, ground))
    if fault is not None and fault.failure is Failure.SPAGHETTI:
        _strands(pen, size, look, ground, there, _strand_count(progress, fault))
    _head(pen, size, look, ground, progress.fraction, seconds)
    if not look.text:
        return image
    big, small = _font(max(12, height // 14)), _font(max(10, height // 24))
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 10) % 10} UTC"
    pen.text((width * 0.02, height * 0.02), f"{progress.fraction * 100:.1f} %  {progress.label}", (240, 240, 240), big)
    pen.text((width * 0.02, height * 0.94), f"{title}  {clock}", (210, 210, 210), small)
    return image


def _outline(look: Look, layer: int, width: int) -> float:
    return width * (look.radius + look.bulge * math.sin(layer / LAYERS * look.turns + look.phase))


def _rise(look: Look, height: int) -> float:
    """Pixels a layer."""
    return height * look.height * (1 - 0.8 * look.tilt) / LAYERS


def _part(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    look: Look,
    fraction: float,
    where: tuple[float, float],
    lean: float = 0.0,
) -> None:
    """The layers up to `fraction`; `lean`: pixels to the side a pixel of height."""
    width, height = size
    red, green, blue = look.colour
    for layer in range(round(LAYERS * fraction)):
        radius = _outline(look, layer, width)
        y = where[1] - layer * _rise(look, height)
        x = where[0] + lean * (where[1] - y)
        shade = 180 + round(25 * math.sin(layer / LAYERS * math.pi)) + (8 if layer % 2 else 0)
        box = (x - radius, y - radius * look.tilt, x + radius, y + radius * look.tilt)
        fill = (round(shade * red), round(shade * green), round(shade * blue))
        pen.ellipse(box, fill=fill, outline=(fill[0] // 2, fill[1] // 2, fill[2] // 2))


def _strand_count(progress: Progress, fault: Fault) -> int:
    """It grows with the print and with the time, whichever is quicker."""
    grown = max((progress.fraction - fault.since) * 600, fault.age * 0.4)
    return min(MOST_STRANDS, 4 + round(max(0.0, grown)))


def _strands(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], look: Look, ground: float, fraction: float, count: int
) -> None:
    """Loose loops around the place where the part is (or was), each where it fell."""
    width, height = size
    top = ground - round(LAYERS * fraction) * _rise(look, height)
    radius = _outline(look, round(LAYERS * fraction), width)
    dice = random.Random(look.seed)  # noqa: S311 - a drawing
    red, green, blue = look.colour
    for _ in range(count):
        x = width * look.middle + dice.gauss(0, radius * 1.1)
        y = dice.uniform(top - height * 0.02, ground + height * 0.04)
        angle = dice.uniform(0, 2 * math.pi)
        points = [(x, y)]
        for _ in range(12):
            angle += dice.gauss(0, 0.9)
            step = dice.uniform(0.006, 0.02) * width
            x, y = x + step * math.cos(angle), y + 0.7 * step * math.sin(angle)
            points.append((x, y))
        shade = dice.uniform(120, 240)
        pen.line(points, (round(shade * red), round(shade * green), round(shade * blue)), max(1, width // 400), "curve")


def _head(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], look: Look, ground: float, fraction: float, seconds: float
) -> None:
    width, height = size
    layers = round(LAYERS * fraction)
    radius = _outline(look, layers - 1, width) if layers else width * 0.1
    angle = seconds * 2.0
    x = width * look.middle + math.cos(angle) * radius
    y = ground - layers * _rise(look, height) + math.sin(angle) * radius * look.tilt
    if look.gantry:
        pen.rectangle((0, y - height * 0.13, width, y - height * 0.11), (90, 96, 104))
    pen.polygon(
        [(x, y), (x - width * 0.02, y - height * 0.05), (x - width * 0.02, y - height * 0.13),
         (x + width * 0.02, y - height * 0.13), (x + width * 0.02, y - height * 0.05)], (200, 170, 90),
    )  # fmt: skip


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def to_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
