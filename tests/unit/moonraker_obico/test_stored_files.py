"""Klipper's G-code files by way of Moonraker: what is asked of it, and what its answers mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_core.config import Secret
from agent_core.errors import CommandFailed, Rejected, StartUnclear, Unreachable
from agent_core.features.download_ports import BUSY
from agent_core.ports import FileOnDisk, HttpRequest, HttpResponse, Interrupt
from moonraker_obico.klipper_api import Objects
from moonraker_obico.moonraker_socket import Address
from moonraker_obico.report import FileFacts, job
from moonraker_obico.stored_files import KlipperFiles

READY: dict[str, dict[str, Any]] = {"webhooks": {"state": "ready"}, "print_stats": {"state": "standby", "filename": ""}}
ENTRY = {"filename": "clip.gcode", "size": 5, "modified": 1767000000.123}


class Api:
    """Answers by method; `fresh` is what a query finds, `seen` what was told last."""

    def __init__(self) -> None:
        self.seen: Objects = dict(READY)
        self.fresh: Objects = dict(READY)
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "server.files.get_directory": {"dirs": [], "files": [ENTRY]},
            "server.files.metadata": {"filename": "Obico_Upload/clip.gcode", "modified": 1767000000.123, "size": 5},
            "printer.print.start": "ok",
        }

    def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None,
        interrupt: Interrupt | None = None,
    ) -> Any:  # fmt: skip
        assert timeout is not None, "nothing waits without end"
        self.calls.append((method, params or {}))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def objects(self) -> Objects:
        return self.seen

    def query(self, objects: Mapping[str, Sequence[str] | None], *, timeout: float = 10.0) -> Objects:
        return self.fresh

    def wait_for(
        self, predicate: Callable[[Objects], bool], *, timeout: float | None, interrupt: Interrupt | None = None
    ) -> bool:
        return predicate(self.fresh)


class Http:
    def __init__(self, status: int = 201, body: bytes = b"{}") -> None:
        self.status, self.body = status, body
        self.requests: list[HttpRequest] = []
        self.closed = 0

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        take = request.receive(self.status, {}) if request.receive is not None else None
        if take is not None:
            take(self.body)
        return HttpResponse(self.status, {}, self.body)

    def close(self) -> None:
        self.closed += 1


def files(api: Api, http: Http | None = None, host: str = "127.0.0.1") -> KlipperFiles:
    used = http or Http()
    return KlipperFiles(api, Address(host, 7125, Secret("k3y")), lambda: used, Path("/srv/downloads"))


def test_what_prints_or_is_paused_is_busy_by_what_klipper_says_now() -> None:
    for state in ("printing", "paused"):
        api = Api()
        api.fresh = {**READY, "print_stats": {"state": state}}
        with pytest.raises(Rejected, match=f"^{BUSY}$"):
            files(api).check_idle()
    files(Api()).check_idle()


@pytest.mark.parametrize("which", ["seen", "fresh"])
@pytest.mark.parametrize("objects", [{}, {"webhooks": {"state": "shutdown", "state_message": "MCU lost\nmore"}}])
def test_a_klipper_that_is_not_ready(which: str, objects: Objects) -> None:
    api = Api()
    setattr(api, which, objects)
    with pytest.raises(Rejected, match="Printer not ready") as raised:
        files(api).check_idle()
    assert str(raised.value) != BUSY


def test_the_upload(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"G28\n")
    http, api = Http(), Api()
    files(api, http).take(part, "Obico_Upload/other.gcode", "ab" * 32, Interrupt())
    (request,) = http.requests
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:7125/server/files/upload")
    assert request.form == {"root": "gcodes", "path": "Obico_Upload", "checksum": "ab" * 32}
    assert request.files["file"].filename == "other.gcode"
    assert request.files["file"].content == FileOnDisk(str(part), 4)
    assert request.headers == {"X-Api-Key": "k3y"}
    assert http.closed == 1


def test_moonraker_would_overwrite_so_it_is_not_asked(tmp_path: Path) -> None:
    http = Http()
    with pytest.raises(CommandFailed, match="there already"):
        files(Api(), http).take(tmp_path / "part", "Obico_Upload/clip.gcode", "", Interrupt())
    interrupt = Interrupt()
    interrupt.set("cancelled")
    with pytest.raises(Rejected, match="cancelled"):
        files(Api(), http).take(tmp_path / "part", "Obico_Upload/x.gcode", "", interrupt)
    assert http.requests == []


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b'{"error": {"code": 403, "message": "File is loaded, upload not permitted"}}', "File is loaded"),
        (401, b'{"error": {"code": 401, "message": "Unauthorized"}}', "api_key"),
        (500, b"<html>", "error 500"),
        (422, b'{"error": {"code": 422, "message": "File checksum mismatch"}}', "checksum mismatch"),
    ],
)
def test_refusals_in_moonrakers_words(tmp_path: Path, status: int, body: bytes, words: str) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"G28\n")
    with pytest.raises(CommandFailed, match=words):
        files(Api(), Http(status, body)).take(part, "Obico_Upload/x.gcode", "", Interrupt())


def test_size_and_content_of_what_is_there() -> None:
    http = Http(200, b"G28\n\n")
    found = files(Api(), http)
    assert found.path_for("clip.gcode") == "Obico_Upload/clip.gcode"
    assert found.size("Obico_Upload/clip.gcode") == 5
    assert found.size("Obico_Upload/other.gcode") is None
    assert found.digest("Obico_Upload/a b.gcode", Interrupt()) == hashlib.sha256(b"G28\n\n").hexdigest()
    assert http.requests[0].url == "http://127.0.0.1:7125/server/files/gcodes/Obico_Upload/a%20b.gcode"
    with pytest.raises(CommandFailed, match="404"):
        files(Api(), Http(404)).digest("x", Interrupt())
    interrupt = Interrupt()
    interrupt.set("cancelled")
    with pytest.raises(Rejected):
        files(Api(), Http(200)).digest("x", interrupt)
    found.abort()


def test_no_folder_is_no_file() -> None:
    api = Api()
    api.answers["server.files.get_directory"] = CommandFailed("Directory does not exist")
    assert files(api).size("Obico_Upload/clip.gcode") is None
    assert files(api).matches("toys/clip.gcode", "ts:1") is None


def test_the_signature_is_the_one_of_the_report() -> None:
    api = Api()
    path = "Obico_Upload/clip.gcode"
    stored = files(api).stored(path)
    assert stored.signature == job(FileFacts(path, api.answers["server.files.metadata"])).signature
    assert stored.signature == "ts:1767000000.123"
    api.answers["server.files.metadata"] = CommandFailed("no metadata")
    assert files(api).stored(path).signature == "ts:1767000000.123"


@pytest.mark.parametrize(
    ("signature", "same"),
    [("ts:1767000000.123", True), ("ts:1767000000.1230001", True), ("ts:1767000000.2", False), ("ts:x", False),
     ("md5:abc", False), ("", False)],
)  # fmt: skip
def test_signatures(signature: str, same: bool) -> None:
    assert files(Api()).matches("toys/clip.gcode", signature) is same
    assert files(Api()).matches("toys/gone.gcode", signature) is None


def test_a_start_is_confirmed_by_klipper_itself() -> None:
    api = Api()
    with pytest.raises(CommandFailed, match="did not begin"):
        files(api).start("clip.gcode")
    api.fresh = {**READY, "print_stats": {"state": "printing", "filename": "clip.gcode"}}
    files(api).start("clip.gcode")
    assert api.calls[-1] == ("printer.print.start", {"filename": "clip.gcode"})
    api.answers["printer.print.start"] = CommandFailed("SD busy")
    with pytest.raises(CommandFailed, match="SD busy"):
        files(api).start("clip.gcode")


def test_an_earlier_print_of_the_file_is_no_start() -> None:
    """After the first copy Klipper reads `complete` with the very same file."""
    api = Api()
    ended = {"state": "complete", "filename": "clip.gcode", "total_duration": 61.5}
    api.seen = api.fresh = {**READY, "print_stats": ended}
    with pytest.raises(StartUnclear):
        files(api).start("clip.gcode")
    api.fresh = {**READY, "print_stats": {**ended, "total_duration": 60.9}}
    files(api).start("clip.gcode")


def test_what_was_printed_since_a_mark() -> None:
    api, path = Api(), "Obico_Upload/clip.gcode"
    api.answers["server.history.list"] = {"jobs": [{"job_id": "0000FF", "filename": path}], "count": 1}
    mark = files(api).mark(path)
    assert api.calls[-1] == ("server.history.list", {"limit": 1, "order": "desc"})
    assert files(api).printed(path, mark) is False
    api.answers["server.history.list"] = {"jobs": [{"job_id": "000100", "filename": path}, {"job_id": "0000FF"}]}
    assert files(api).printed(path, mark) is True
    assert files(api).printed("Obico_Upload/other.gcode", mark) is False
    # Without a mark only what prints at this moment counts.
    assert files(api).printed(path, None) is False
    for state, prints in (("printing", True), ("paused", True), ("complete", False)):
        api.fresh = {**READY, "print_stats": {"state": state, "filename": path}}
        assert files(api).printed(path, None) is prints
        assert files(api).printed("Obico_Upload/other.gcode", None) is False


@pytest.mark.parametrize("answer", [{"jobs": []}, {}, None, {"jobs": ["x", {"job_id": "zz"}, {"job_id": 7}]}])
def test_a_history_without_jobs(answer: object) -> None:
    api = Api()
    api.answers["server.history.list"] = answer
    assert (files(api).mark("a"), files(api).printed("a", "0")) == ("0", False)
    api.answers["server.history.list"] = CommandFailed("Method not found")
    assert (files(api).mark("a"), files(api).printed("a", "0")) == (None, False)
    api.answers["server.history.list"] = Unreachable("Moonraker is not reachable")
    for ask in (lambda: files(api).mark("a"), lambda: files(api).printed("a", "0")):
        with pytest.raises(Unreachable):
            ask()


def test_copies_on_one_disk() -> None:
    assert files(Api()).copies == 2
    assert files(Api(), host="printer.example.com").copies == 1
    assert files(Api()).work_folder() == Path("/srv/downloads")


def test_the_largest_thumbnail_that_moonraker_has() -> None:
    api, png = Api(), b"\x89PNG\r\n\x1a\n"
    small = {"width": 32, "height": 32, "size": 100, "relative_path": ".thumbs/a-32x32.png"}
    large = {"width": 300, "height": 300, "size": 9000, "relative_path": ".thumbs/a b-300x300.png"}
    huge = {"width": 900, "height": 900, "size": 10**7, "relative_path": ".thumbs/a-900x900.png"}
    api.answers["server.files.metadata"] = {"thumbnails": [small, large, huge, "nonsense", {}]}
    http = Http(200, png)
    assert files(api, http).thumbnail("toys/a b.gcode") == png
    assert http.requests[0].url == "http://127.0.0.1:7125/server/files/gcodes/toys/.thumbs/a%20b-300x300.png"
    assert files(api, Http(200, b"<html>")).thumbnail("a.gcode") is None
    for none in ({}, {"thumbnails": None}, {"thumbnails": [huge]}, "nonsense"):
        api.answers["server.files.metadata"] = none
        assert files(api, Http()).thumbnail("a.gcode") is None
    api.answers["server.files.metadata"] = {"thumbnails": [small]}
    with pytest.raises(CommandFailed, match="404"):
        files(api, Http(404)).thumbnail("a.gcode")
