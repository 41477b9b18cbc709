"""The real vision process with a real OpenCV: models, boxes on pictures, limits, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reference_server.detectors.eyes import BuiltinDetector, LocalDetector, VisionTagger
from reference_server.detectors.vision import VisionProcess, child_command
from reference_server.services.detection.port import Box, DetectorFailed, Frame
from tests.fakes.networks import CLASS_SCORE, OBJECTNESS, red_finder

ROOT = Path(__file__).parents[2]


def run(use: Callable[[VisionProcess], Awaitable[None]], command: list[str] | None = None) -> None:
    async def main() -> None:
        process = VisionProcess(command)
        try:
            await use(process)
        finally:
            await process.close()

    asyncio.run(main())


def jpeg(pixels: Any) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def pixels_of(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def frame(data: bytes) -> Frame:
    return Frame(1, 2, "", "x.jpg", data, (), 1.0, None)


def picture(width: int, height: int, corner: tuple[int, int], size: tuple[int, int]) -> bytes:
    pixels: Any = np.full((height, width, 3), 90, np.uint8)
    (left, top), (across, down) = corner, size
    pixels[top : top + down, left : left + across] = (0, 0, 255)
    return jpeg(pixels)


# --- models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transposed", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize(
    ("shape", "net"),
    [((640, 480), (320, 320)), ((480, 640), (320, 320)), ((320, 320), (320, 320)), ((1280, 320), (640, 480))],
)
def test_a_networks_boxes_land_right_within_a_pixel(
    tmp_path: Path, shape: tuple[int, int], net: tuple[int, int], transposed: bool
) -> None:
    model = tmp_path / "red.onnx"
    red_finder(model, width=net[0], height=net[1], transposed=transposed)
    data = picture(*shape, (96, 64), (128, 200))

    async def use(process: VisionProcess) -> None:
        judgement = await LocalDetector(process, model).judge(frame(data), 60)
        assert (judgement.detector, judgement.width, judgement.height) == ("local:red.onnx", *shape)
        (box,) = judgement.boxes
        assert box.label == "failure"
        assert box.confidence == pytest.approx(OBJECTNESS * CLASS_SCORE, abs=1e-3)
        assert (box.x, box.y, box.width, box.height) == pytest.approx((160, 164, 128, 200), abs=1.0)

    run(use)


def test_the_threshold_and_the_names_of_classes(tmp_path: Path) -> None:
    model = tmp_path / "red.onnx"
    red_finder(model, width=320, height=320)
    model.with_suffix(".names").write_text("blob\n")
    data = picture(640, 480, (96, 64), (128, 200))

    async def use(process: VisionProcess) -> None:
        (box,) = (await LocalDetector(process, model, 0.5).judge(frame(data), 60)).boxes
        assert box.label == "blob"
        assert (await LocalDetector(process, model, 0.6).judge(frame(data), 60)).boxes == ()

    run(use)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.onnx", None, "cannot be loaded"), ("b.onnx", b"hello, world", "no ONNX"), ("c.weights", b"", "cannot be")],
)
def test_a_model_that_is_none_is_told_in_words(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    async def use(process: VisionProcess) -> None:
        with pytest.raises(DetectorFailed, match=words):
            await LocalDetector(process, tmp_path / name).judge(frame(picture(64, 64, (1, 1), (9, 9))), 60)
        assert process.pid is not None

    run(use)


# --- pictures -----------------------------------------------------------------------------------------------------


def test_boxes_are_drawn_green_and_three_pixels_wide_where_sure_enough() -> None:
    grey = jpeg(np.full((240, 320, 3), 90, np.uint8))
    boxes = (Box("failure", 0.21, 160, 120, 100, 60), Box("failure", 0.2, 40, 40, 30, 30))

    async def use(process: VisionProcess) -> None:
        pixels = pixels_of(await VisionTagger(process).tag(grey, boxes, 60)).astype(int)
        assert pixels.shape == (240, 320, 3)
        green = (pixels[:, :, 1] > 180) & (pixels[:, :, 0] < 110) & (pixels[:, :, 2] < 110)
        rows, columns = np.nonzero(green)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((89, 151, 109, 211), abs=1)
        # A JPEG blurs colours, not brightness: green has 150, the grey around it 90.
        assert (cv2.cvtColor(pixels.astype(np.uint8), cv2.COLOR_BGR2GRAY)[120] > 120).sum() == 6

    run(use)


@pytest.mark.parametrize("data", [b"", b"<html>", picture(64, 64, (1, 1), (9, 9))[:-300]])
def test_what_is_no_picture_is_refused_and_the_process_lives_on(data: bytes) -> None:
    async def use(process: VisionProcess) -> None:
        for _ in range(2):
            with pytest.raises(DetectorFailed, match="picture cannot be read"):
                await BuiltinDetector(process).judge(frame(data), 60)
        assert (await BuiltinDetector(process).judge(frame(picture(64, 64, (1, 1), (9, 9))), 60)).width == 64

    run(use)


# --- limits and the end -------------------------------------------------------------------------------------------


def test_memory_is_limited(tmp_path: Path) -> None:
    """A model whose input is far too large for what the process may have."""
    model = tmp_path / "red.onnx"
    red_finder(model, width=2048, height=2048)

    async def use(process: VisionProcess) -> None:
        with pytest.raises(DetectorFailed, match=r"vision process ended|failed|cannot be"):
            await LocalDetector(process, model).judge(frame(picture(64, 64, (1, 1), (9, 9))), 60)

    run(use, child_command(memory_mb=450))


def test_it_dies_with_the_server(tmp_path: Path) -> None:
    data = tmp_path / "x.jpg"
    data.write_bytes(picture(64, 64, (1, 1), (9, 9)))
    program = f"""
import asyncio, sys
from pathlib import Path
from reference_server.detectors.eyes import BuiltinDetector
from reference_server.detectors.vision import VisionProcess
from reference_server.services.detection.port import Frame
async def main():
    process = VisionProcess()
    data = Path({str(data)!r}).read_bytes()
    await BuiltinDetector(process).judge(Frame(1, 2, "", "x.jpg", data, (), 1.0, None), 60)
    print(process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        # Stopped, it cannot notice that its input closes: as if it were deep in a computation.
        os.kill(pid, signal.SIGSTOP)
    finally:
        server.kill()
        server.communicate()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the vision process outlived the server"
        time.sleep(0.02)
