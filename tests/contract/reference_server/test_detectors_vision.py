"""The vision process seen from the server, with small programs in its place: slow, dying, talking nonsense."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from reference_server import detectors
from reference_server.detectors import eyes, pipe, vision
from reference_server.detectors.eyes import BuiltinDetector, VisionTagger
from reference_server.detectors.vision import VisionProcess
from reference_server.services.detection.port import Box, DetectorFailed, Frame
from tests.fakes.clock import FakeClock

ECHO = """
import sys
from reference_server.detectors import pipe
while head := sys.stdin.buffer.read(8):
    a, b = pipe.lengths(head)
    request = pipe.message_of(sys.stdin.buffer.read(a))
    data = sys.stdin.buffer.read(b)
    if request["op"] == "hang":
        import time; time.sleep(60)
    if request["op"] == "die":
        raise SystemExit(3)
    if request["op"] == "babble":
        sys.stdout.buffer.write(b"Warning: I am a library\\n" * 99); sys.stdout.flush()
    sys.stdout.buffer.write(pipe.pack({**request, "boxes": [], "findings": [], "width": 1}, data)); sys.stdout.flush()
"""
FRAME = Frame(1, 2, "", "x.jpg", b"jpeg", (), 1.0, None)


def run(use: Callable[[VisionProcess], Awaitable[None]], clock: FakeClock | None = None) -> None:
    async def main() -> None:
        process = VisionProcess([sys.executable, "-c", ECHO], idle=300, clock=(clock or FakeClock()).monotonic)
        try:
            await use(process)
        finally:
            await process.close()
        assert process.pid is None

    asyncio.run(main())


def test_it_starts_with_the_first_picture_and_takes_one_after_the_other() -> None:
    async def use(process: VisionProcess) -> None:
        assert process.pid is None
        answers = await asyncio.gather(*(process.ask({"op": "echo", "n": n}, b"x" * n, 20) for n in range(1, 20)))
        assert [(answer["n"], len(data)) for answer, data in answers] == [(n, n) for n in range(1, 20)]
        pid = process.pid
        big = bytes(3_000_000)
        assert (await process.ask({"op": "echo"}, big, 20))[1] == big
        assert process.pid == pid

    run(use)


@pytest.mark.parametrize(
    ("op", "timeout", "words"),
    [("hang", 0.5, r"did not answer within 0\.5 s"), ("die", 20, "exit code"), ("babble", 20, "nonsense")],
)
def test_after_a_failure_the_next_picture_finds_a_new_process(op: str, timeout: float, words: str) -> None:
    async def use(process: VisionProcess) -> None:
        await process.ask({"op": "echo"}, b"", 20)
        pid = process.pid
        with pytest.raises(DetectorFailed, match=words):
            await process.ask({"op": op}, b"", timeout)
        assert (await process.ask({"op": "echo", "n": 5}, b"", 20))[0]["n"] == 5
        assert process.pid != pid

    run(use)


def test_one_that_waits_behind_a_slow_one_is_told_so_and_does_no_harm() -> None:
    async def use(process: VisionProcess) -> None:
        await process.ask({"op": "echo"}, b"", 20)
        slow = asyncio.create_task(process.ask({"op": "hang"}, b"", 1.0))
        await asyncio.sleep(0)
        with pytest.raises(DetectorFailed, match=r"within 0\.1 s"):
            await process.ask({"op": "echo"}, b"", 0.1)
        with pytest.raises(DetectorFailed, match="within 1 s"):
            await slow

    run(use)


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "MOST_WAITING", 2)

    async def use(process: VisionProcess) -> None:
        first = [asyncio.create_task(process.ask({"op": "echo"}, b"", 20)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(DetectorFailed, match="wait for the vision process"):
            await process.ask({"op": "echo"}, b"", 20)
        await asyncio.gather(*first)

    run(use)


def test_it_ends_when_idle_and_comes_back() -> None:
    clock = FakeClock()

    async def use(process: VisionProcess) -> None:
        await process.ask({"op": "echo"}, b"", 20)
        clock.advance(299)
        await process.close_if_idle()
        assert process.pid is not None
        clock.advance(1)
        await process.close_if_idle()
        assert not process.pid
        await process.ask({"op": "echo"}, b"", 20)

    run(use, clock)


def test_the_worker_ends_it_with_the_server() -> None:
    async def use(process: VisionProcess) -> None:
        stop = asyncio.Event()
        worker = asyncio.create_task(process.run(stop))
        await process.ask({"op": "echo"}, b"", 20)
        stop.set()
        await worker
        assert process.pid is None

    run(use)


def test_an_answer_that_lacks_something_is_nonsense() -> None:
    async def use(process: VisionProcess) -> None:
        with pytest.raises(DetectorFailed, match="nonsense"):  # no height
            await BuiltinDetector(process).judge(FRAME, 20)

    run(use)


def test_a_program_that_is_not_there() -> None:
    async def main() -> None:
        with pytest.raises(DetectorFailed, match="could not be started"):
            await VisionProcess(["/nowhere/python"]).ask({"op": "echo"}, b"", 20)

    asyncio.run(main())


def test_without_opencv_pictures_stay_as_they_are_which_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (eyes, vision):
        monkeypatch.setattr(module, "opencv_installed", lambda: False)

    async def main() -> None:
        process = VisionProcess()
        tagger = VisionTagger(process)
        for _ in range(3):
            assert await tagger.tag(b"jpeg", (Box("failure", 0.5, 1, 1, 1, 1),), 5) == b"jpeg"
        with pytest.raises(DetectorFailed, match="pip install"):
            await BuiltinDetector(process).judge(FRAME, 5)
        assert process.pid is None

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [("builtin", "builtin-heuristics"), ("local", "local:model.onnx"), ("remote", "remote"), ("off", None)],
)
def test_the_settings_choose_the_detector(kind: str, name: str | None) -> None:
    from pathlib import Path

    settings = SimpleNamespace(
        detector=kind, ml_api_url="http://127.0.0.1:3333", ml_api_token=None, detector_model=Path("model.onnx")
    )
    detector = detectors.make_eyes(settings, lambda frame: "").detector
    assert (detector.name if detector else None) == name


def test_lengths_that_no_message_has_are_out_of_step() -> None:
    with pytest.raises(pipe.OutOfStep):
        pipe.lengths(b"Warning:")
    for text in (b"", b"[]", b"\xff"):
        with pytest.raises(pipe.OutOfStep):
            pipe.message_of(text)
