"""Pictures -> H.264 video. Run as a program of its own: `python -m reference_server.media.video_child`.

It reads one line of JSON from its standard input and then watches that pipe: when it closes, whoever started us is
gone, and so are we. It prints JSON lines: `{"progress": 0.4}`, at last `{"done": true, "frames": 12, "skipped": 0,
"width": 640, "height": 480}` or `{"error": "…", "permanent": true}`. The same pictures give the same bytes.

The order (all required): `pictures` (JPEG files, in order), `out` (the file to write), `flip_h`, `flip_v`, `rotation`
(flips first, then clockwise degrees), `seconds` (of processor time), `memory` (bytes of address space).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

FPS = 30
TICK = Fraction(1, FPS)
FIT = (1280, 960)
"""Larger pictures are shrunk to fit (wire-protocol.md §4): phones play it, and it builds in bounded time and memory."""

KEYFRAME_EVERY = 30  # frames; a second, so that seeking is quick
X264 = {"preset": "veryfast", "crf": "23", "profile": "high", "threads": "1", "x264-params": "rc-lookahead=10"}
"""One thread: the outcome does not depend on the machine's load, and one core is all that a home server can spare."""

NICENESS = 10


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def fitted(width: int, height: int) -> tuple[int, int]:
    """Even sizes, as yuv420p needs, within FIT (or its upright twin) and never larger than the picture."""
    most = FIT if width >= height else FIT[::-1]
    factor = min(1.0, most[0] / width, most[1] / height)
    return max(2, round(width * factor) // 2 * 2), max(2, round(height * factor) // 2 * 2)


_ROTATIONS = {
    90: [("transpose", "clock")],
    180: [("hflip", ""), ("vflip", "")],
    270: [("transpose", "cclock")],
}


def filters(flip_h: bool, flip_v: bool, rotation: int) -> list[tuple[str, str]]:
    """Names and arguments of libavfilter's filters: flips first, then clockwise rotation."""
    chain = [("hflip", "")] if flip_h else []
    chain += [("vflip", "")] if flip_v else []
    return chain + _ROTATIONS.get(rotation, [])


def _die_with_parent() -> None:
    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def _limit(order: dict[str, Any]) -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (order["memory"], order["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (order["seconds"], order["seconds"] + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Video:
    """Encodes one picture after the other; the first one that can be read gives the size."""

    def __init__(self, av: Any, order: dict[str, Any]) -> None:
        self._av, self._order = av, order
        self.width = self.height = self.frames = self.skipped = 0
        self._decoder = self._new_decoder()
        self._container: Any = None
        self._stream: Any = None
        self._graph: Any = None
        self._size = (0, 0)  # before it is turned

    def add(self, data: bytes) -> None:
        for picture in self._decode(data):
            if self._container is None:
                self._begin(picture)
            # JPEG counts from 0 to 255, video from 16 to 235: said here, or the video comes out darker.
            plain = picture.reformat(*self._size, "yuv420p", src_color_range="JPEG", dst_color_range="MPEG")
            for turned in self._turn(plain):
                turned.pts, turned.time_base = self.frames, TICK
                turned.pict_type = 0
                self._mux(turned)
                self.frames += 1

    def finish(self) -> None:
        if self._container is not None:
            self._mux(None)
            self._container.close()

    def _new_decoder(self) -> Any:
        decoder = self._av.CodecContext.create("mjpeg", "r")
        decoder.thread_count = 1
        return decoder

    def _decode(self, data: bytes) -> list[Any]:
        try:
            found: list[Any] = self._decoder.decode(self._av.Packet(data))[:1]
        except self._av.FFmpegError:
            found = []
        if not found:
            self._decoder = self._new_decoder()  # a broken picture leaves the old one in disorder
        self.skipped += not found
        return found

    def _begin(self, picture: Any) -> None:
        av, order = self._av, self._order
        self._size = fitted(picture.width, picture.height)
        upright = order["rotation"] in {90, 270}
        self.width, self.height = self._size[::-1] if upright else self._size
        self._container = av.open(
            order["out"], "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
        )
        self._stream = self._container.add_stream("libx264", rate=FPS, options=dict(X264))
        self._stream.width, self._stream.height, self._stream.pix_fmt = self.width, self.height, "yuv420p"
        self._stream.codec_context.gop_size = KEYFRAME_EVERY
        self._stream.codec_context.thread_count = 1
        chain = filters(order["flip_h"], order["flip_v"], order["rotation"])
        if not chain:
            return
        self._graph = av.filter.Graph()
        last = self._graph.add_buffer(
            width=self._size[0], height=self._size[1], format="yuv420p", time_base=TICK
        )
        for name, arguments in [*chain, ("buffersink", "")]:
            node = self._graph.add(name, arguments) if arguments else self._graph.add(name)
            last.link_to(node)
            last = node
        self._graph.configure()

    def _turn(self, picture: Any) -> Iterator[Any]:
        if self._graph is None:
            yield picture
            return
        picture.pts = self.frames
        self._graph.vpush(picture)
        yield self._graph.vpull()

    def _mux(self, picture: Any) -> None:
        for packet in self._stream.encode(picture):
            self._container.mux(packet)


def build(order: dict[str, Any]) -> dict[str, Any]:
    """The video as ordered; what to say at the end."""
    try:
        import av
    except ImportError as error:
        return _give_up(
            f"time-lapses need the Python package `av`, which cannot be used here ({error}); install it into the "
            "server's environment: pip install av"
        )
    if "libx264" not in av.codec.codecs_available:
        return _give_up("this build of the Python package `av` has no libx264; install its wheel: pip install av")
    av.logging.set_level(av.logging.PANIC)
    video = Video(av, order)
    pictures, told = order["pictures"], 0.0
    for number, path in enumerate(pictures):
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            video.skipped += 1
            continue
        video.add(data)
        done = (number + 1) / len(pictures)
        if done - told >= 0.01:
            told = done
            say(progress=round(done, 3))
    video.finish()
    if not video.frames:
        return _give_up("none of the print's pictures could be read")
    with Path(order["out"]).open("rb") as file:
        os.fsync(file.fileno())
    return {
        "done": True, "frames": video.frames, "skipped": video.skipped, "width": video.width, "height": video.height,
    }  # fmt: skip


def _give_up(why: str) -> dict[str, Any]:
    return {"error": why, "permanent": True}


def main() -> int:
    order = json.loads(sys.stdin.readline())
    _die_with_parent()
    _limit(order)
    try:
        said = build(order)
    except MemoryError:
        said = {"error": "it took too much memory", "permanent": False}
    except OSError as error:  # PyAV's own errors are OSErrors too
        said = {"error": str(error.strerror or error), "permanent": False, "errno": error.errno}
    say(**said)
    return 0 if said.get("done") else 1


if __name__ == "__main__":
    sys.exit(main())
