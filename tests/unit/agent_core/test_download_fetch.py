"""One file onto the disk: through cuts, redirects, lies and full disks."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from agent_core.config import AgentConfig, Secret
from agent_core.errors import AgentError, CommandFailed, Rejected, ServerTrouble, Unreachable
from agent_core.features import download_fetch, download_file
from agent_core.features.download_fetch import Ask, Fetch, Tools
from agent_core.features.download_file import KEEP_FREE, LOOK_EVERY, PartFile, remove_leftovers
from agent_core.features.download_url import public
from agent_core.ports import Interrupt
from tests.fakes.clock import FakeClock
from tests.fakes.file_server import FileServer, fails, says

SERVER = "https://obico.example.com"
URL = f"{SERVER}/media/clip.gcode?digest=1"
CODE = b"; made by hand\nG28\n" + b"G1 X10 Y20 E0.5\n" * 50


class Waiting(Interrupt):
    """Waits in no time, on a clock that moves."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.clock.advance(seconds)
        return self.is_set()


class Desk:
    def __init__(self, folder: Path, server: FileServer, free: int = 10**12) -> None:
        self.folder, self.server, self.free = folder, server, free
        self.clock = FakeClock()
        self.interrupt = Waiting(self.clock)
        self.progress: list[tuple[int, int | None]] = []

    def fetch(self, url: str = URL, **more: Any) -> PartFile:
        config = AgentConfig("a", "3", SERVER, Secret("t0ken"), "/tmp", extra_headers=(("X-Way", "1"),))
        tools = Tools(
            config, self.server, self.clock, self.interrupt, lambda: 1.0,
            lambda done, total: self.progress.append((done, total)), lambda _: self.free,
        )  # fmt: skip
        return Fetch(Ask(url, **more), self.folder, 1, tools).run()

    def refused(self, url: str = URL, **more: Any) -> str:
        """The words of the error; nothing is left on the disk."""
        with pytest.raises(AgentError) as raised:
            self.fetch(url, **more)
        assert list(self.folder.iterdir()) == []
        assert "t0ken" not in str(raised.value)
        return str(raised.value)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE))
    part = desk.fetch(num_bytes=len(CODE), sha256=sha(CODE))
    assert part.path.read_bytes() == CODE
    assert part.content.sha256 == sha(CODE)
    assert part.path.name.startswith(".")
    assert desk.progress[0] == (7, len(CODE))
    assert desk.progress[-1] == (len(CODE), len(CODE))
    request = desk.server.requests[0]
    assert request.headers["Authorization"] == "Token t0ken"
    assert request.headers["X-Way"] == "1"
    assert request.timeout <= 1800
    part.remove()
    assert list(tmp_path.iterdir()) == []


def test_it_goes_on_after_each_cut(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE, cuts=[100, 0, 200, 31]))
    part = desk.fetch(sha256=sha(CODE))
    assert part.path.read_bytes() == CODE
    asked = [request.headers.get("Range") for request in desk.server.requests]
    assert asked == [None, "bytes=100-", "bytes=100-", "bytes=300-", "bytes=331-"]
    assert {request.headers.get("If-Range") for request in desk.server.requests[1:]} == {'"v1"'}
    # From the start again whenever something came.
    assert desk.interrupt.waits == [0.5, 1.0, 0.5, 0.5]


def test_a_file_that_changed_meanwhile_comes_anew(tmp_path: Path) -> None:
    other = CODE + b"G1 X0\n"

    def change(server: FileServer) -> None:
        if len(server.requests) == 2:
            server.content, server.headers["etag"] = other, '"v2"'

    desk = Desk(tmp_path, FileServer(CODE, cuts=[100], before_each=change))
    assert desk.fetch().path.read_bytes() == other


def test_ranges_of_another_file_are_not_joined(tmp_path: Path) -> None:
    server = FileServer(CODE, cuts=[100])
    server.before_each = lambda s: s.first.append(
        says(206, {"content-range": "bytes 99-200/9999"}, b"x" * 10)
    ) if len(s.requests) == 2 else None  # fmt: skip
    assert Desk(tmp_path, server).fetch().path.read_bytes() == CODE


def test_a_server_without_ranges_or_validators(tmp_path: Path) -> None:
    assert Desk(tmp_path, FileServer(CODE, cuts=[100, 90], ranges=False)).fetch().path.read_bytes() == CODE
    bare = Desk(tmp_path, FileServer(CODE, cuts=[100], headers={}))
    assert bare.fetch().path.read_bytes() == CODE
    assert [request.headers.get("Range") for request in bare.server.requests] == [None, None]
    # With a checksum to tell in the end, the rest is worth a try.
    summed = Desk(tmp_path, FileServer(CODE, cuts=[100], headers={}))
    assert summed.fetch(sha256=sha(CODE)).path.read_bytes() == CODE
    assert summed.server.requests[1].headers["Range"] == "bytes=100-"


def test_pieces_that_do_not_fit_together_come_once_more(tmp_path: Path) -> None:
    def change(server: FileServer) -> None:
        server.content = CODE.replace(b"X10", b"X20") if len(server.requests) == 1 else CODE

    desk = Desk(tmp_path, FileServer(CODE, cuts=[200], before_each=change))
    assert desk.fetch(sha256=sha(CODE)).path.read_bytes() == CODE
    assert len(desk.server.requests) == 3


def test_a_wrong_checksum_or_size(tmp_path: Path) -> None:
    assert "checksum" in Desk(tmp_path, FileServer(CODE)).refused(sha256=sha(b"other"))
    assert "announced" in Desk(tmp_path, FileServer(CODE)).refused(num_bytes=5)
    short = Desk(tmp_path, FileServer(CODE, tells_length=False, ranges=False)).refused(num_bytes=len(CODE) + 1)
    assert "broke off" in short
    assert "announced" in Desk(tmp_path, FileServer(CODE, tells_length=False)).refused(num_bytes=len(CODE) - 1)


def test_no_end_of_trying(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE, first=[fails(Unreachable("refused"))] * 99))
    assert "11 times in vain" in desk.refused()
    assert len(desk.server.requests) == download_fetch.TRIES_IN_VAIN + 1
    assert max(desk.interrupt.waits) <= download_fetch.LONGEST_WAIT
    busy = Desk(tmp_path, FileServer(CODE, first=[fails(ServerTrouble("busy", 700.0))] * 99))
    assert "30 minutes" in busy.refused()


def test_trouble_that_passes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE, first=[says(503, {"retry-after": "4"}), says(429), says(500)]))
    assert desk.fetch().path.read_bytes() == CODE
    assert desk.interrupt.waits[0] == 4.0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(404), "does not have the file"),
        (says(403), "403"),
        (says(401), "401"),
        (says(418), "418"),
        (says(302), "without saying where"),
        (says(302, {"location": "https://a.example.org/"}, b"x" * 70_000), "too many words"),
        (says(200, {"content-type": "text/html; charset=utf-8"}, b"x"), "log-in page"),
        (says(200, {}, b"\n<!DOCTYPE html><html>"), "log-in page"),
        (says(200, {}, b'{"detail": "no"}'), "not one command"),
        (says(200, {}, b""), "empty"),
        (says(200, {}, b"GCDE\1\0\0\0"), "binary G-code"),
        (says(200, {}, b"G28\nG1 X1\0\n"), "binary data"),
        (says(200, {}, gzip.compress(CODE)[:-9]), "cut off"),
        (says(200, {}, b"\x1f\x8b" + CODE), "damaged"),
        (says(200, {}, gzip.compress(b"<html>")), "log-in page"),
        (says(200, {"content-length": str(3 * 10**9)}, b""), "too large"),
        (says(302, {"location": "https://192.168.1.1/secret"}), "private network"),
        (says(302, {"location": "http://a.example.org/x"}), "over https"),
    ],
)
def test_refused_in_words(tmp_path: Path, answer: Any, words: str) -> None:
    assert words in Desk(tmp_path, FileServer(CODE, first=[answer])).refused()


def test_compressed_files_are_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(CODE * 100)
    desk = Desk(tmp_path, FileServer(packed, headers={"content-encoding": "gzip"}, cuts=[20]))
    part = desk.fetch(num_bytes=len(CODE) * 100, sha256=sha(CODE * 100))
    assert part.path.read_bytes() == CODE * 100
    assert list(tmp_path.iterdir()) == [part.path]
    assert "checksum" in Desk(tmp_path / "x", FileServer(packed)).refused(sha256=sha(b"?"))


def test_redirects_are_followed_and_the_token_is_not_taken_along(tmp_path: Path) -> None:
    away = says(302, {"location": "https://storage.example.org/a"})
    back = says(307, {"location": URL})
    desk = Desk(tmp_path, FileServer(CODE, first=[away, back]))
    assert desk.fetch().path.read_bytes() == CODE
    first, second, third = desk.server.requests
    assert "Authorization" in first.headers
    assert second.url == "https://storage.example.org/a"
    assert second.peer_allowed is public
    assert not any("Authorization" in each.headers or "X-Way" in each.headers for each in (second, third))
    endless = Desk(tmp_path / "x", FileServer(CODE, first=[says(302, {"location": URL})] * 99))
    assert "without end" in endless.refused()


def test_a_redirect_within_the_server_keeps_the_token(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE, first=[says(301, {"location": "/other/place"})]))
    desk.fetch()
    assert desk.server.requests[1].url == f"{SERVER}/other/place"
    assert desk.server.requests[1].headers["Authorization"] == "Token t0ken"


def test_too_little_space(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE), free=KEEP_FREE + len(CODE) - 1)
    assert "too little space" in desk.refused()
    assert desk.progress == []


def test_the_disk_fills_up_meanwhile(tmp_path: Path) -> None:
    content = b";" + b"x" * (LOOK_EVERY * 3)
    desk = Desk(tmp_path, FileServer(content, tells_length=False, piece=LOOK_EVERY // 4))
    desk.server.before_each = lambda _: None

    def shrink(done: int, _total: int | None) -> None:
        desk.progress.append((done, None))
        desk.free = KEEP_FREE - 1

    tools = Tools(AgentConfig("a", "3", SERVER, None, "/"), desk.server, desk.clock, desk.interrupt, lambda: 1.0,
                  shrink, lambda _: desk.free)  # fmt: skip
    with pytest.raises(CommandFailed, match="too little space"):
        Fetch(Ask(URL), tmp_path, 1, tools).run()
    assert list(tmp_path.iterdir()) == []
    assert desk.progress[-1][0] <= 2 * LOOK_EVERY


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailed, match="cannot be written"):
        PartFile(tmp_path / "file", most=10)


def test_given_up_on_demand(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE))
    desk.server.before_each = lambda _: desk.interrupt.set("cancelled by Ada")
    with pytest.raises(Rejected, match="cancelled by Ada"):
        desk.fetch()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_removed(tmp_path: Path) -> None:
    PartFile(tmp_path, most=10)
    (tmp_path / "clip.gcode").write_text("")
    assert remove_leftovers(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clip.gcode"]


def test_no_more_than_a_piece_is_in_memory(tmp_path: Path) -> None:
    """Counts what the file's keeper holds on to beside the disk, however long the file and its lines are."""
    part = PartFile(tmp_path, most=10**9)
    piece = b"x" * 65536
    for _ in range(400):
        part.write(piece)
        content = part.content
        kept = [value for value in (getattr(content, name) for name in vars(content)) if isinstance(value, bytes)]
        assert sum(map(len, kept)) <= download_file.HEAD + download_file.LONGEST_TAIL
    assert part.size == 400 * len(piece)
    assert part.content.trouble() == "this is no G-code file: there is not one command in it"
    part.write(b"\nG1 X1")
    assert part.content.trouble() is None
    part.remove()


def test_a_move_is_found_across_pieces(tmp_path: Path) -> None:
    texts = {
        b"; c\n  N1 G1 X1\n": True, b"; G1\n;M3\nxG1\n": False, b"; x\nPRINT_START BED=60\r\n": True,
        b"BED_MESH_CALIBRATE": True, b"m104 S1": True, b"NOT FOUND\n": False,
    }  # fmt: skip
    for text, good in texts.items():
        part = PartFile(tmp_path, most=1000)
        for index in range(len(text)):
            part.write(text[index : index + 1])
        assert (part.content.trouble() is None) is good
        part.remove()
