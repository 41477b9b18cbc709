"""The short way of a status: straight from the socket, read quickly, without the database; and what it leaves alone."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from agent_core.wire.codec import WireError, parse
from agent_core.wire.messages import NOT_PRINTING, EventType, PrintEvent, StatusMessage
from reference_server.app import open_database
from reference_server.realtime.admission import BATCH, Admission
from reference_server.realtime.transport import SocketProtocol, take_directly
from reference_server.services.clock import utc_now
from reference_server.services.errors import StoreFailed
from reference_server.services.model import Print, Printer, PrinterRecord, User
from reference_server.services.packed import pack, parse_text, unpack
from reference_server.services.prints import Observation, is_idle
from reference_server.services.tracking import Tracking
from tests.unit.reference_server.live_server import Owner, running, status, wait_until
from tests.unit.reference_server.support import run

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
MASK = b"\x01\x02\x03\x04"
REQUEST = (
    b"GET /ws/dev/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9


def frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes | None = MASK) -> bytes:
    size, bit = len(payload), 0x80 if mask is not None else 0
    head = bytes([(0x80 if final else 0) | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def converse(chunks: Sequence[bytes], take: Callable[[str], bool], *, request: bytes = REQUEST) -> list[Any]:
    """What an application hears, in order: texts and bytes, directly or not, then the code of the end."""
    heard: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        def take_and_note(text: str) -> bool:
            if not take(text):
                return False
            heard.append(text)
            return True

        await receive()
        await send({"type": "websocket.accept"})
        take_directly(scope, take_and_note)
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                heard.append(message["code"])
                return
            heard.append(message.get("text") or message.get("bytes"))

    config = uvicorn.Config(app, ws=SocketProtocol, log_config=None, ws_per_message_deflate=False, lifespan="off")
    config.load()
    protocol = SocketProtocol(config, ServerState(), {}, asyncio.get_running_loop())
    wire = Wire()
    protocol.connection_made(wire)
    protocol.data_received(request)
    await settle()
    for number, chunk in enumerate(chunks):
        if not wire.closed:
            protocol.data_received(chunk)
        if number % 3 == 0:
            await settle()
    await settle()
    protocol.connection_lost(None)
    await settle()
    return heard


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


CONVERSATION: tuple[tuple[bytes, list[Any]], ...] = (
    (frame(TEXT, b"{}"), ["{}"]),
    (frame(TEXT, b"a" * 125) + frame(TEXT, b"b" * 126), ["a" * 125, "b" * 126]),
    (frame(PING, b"?"), []),
    (frame(TEXT, "käse".encode()), ["käse"]),
    (frame(BINARY, b"\x00\x01"), [b"\x00\x01"]),
    (frame(TEXT, b"one ", final=False) + frame(PING, b"") + frame(CONTINUATION, b"two"), ["one two"]),
    (frame(TEXT, b"c" * 1800) * 3, ["c" * 1800] * 3),
    (frame(TEXT, b"last"), ["last"]),
    (frame(CLOSE, struct.pack("!H", 1000)), [1000]),
)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 131, 1807, 5000, 1_000_000])
@pytest.mark.parametrize("taken", ["all", "none", "some"])
def test_all_frames_are_heard_once_and_in_order(size: int, taken: str) -> None:
    """However the network cuts them, and whatever of them is taken directly."""
    chance = random.Random(size)
    directly: list[str] = []

    def take(text: str) -> bool:
        yes = taken == "all" or (taken == "some" and chance.random() < 0.5)
        if yes:
            directly.append(text)
        return yes

    sent = b"".join(data for data, _ in CONVERSATION)
    heard = run(lambda: converse(cut(sent, size), take))
    assert heard == [each for _, texts in CONVERSATION for each in texts]
    assert bool(directly) or taken != "all"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"{}", mask=None), 1002),
        (frame(TEXT, b"a", final=False) + frame(TEXT, b"b"), 1002),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(data: bytes, code: int) -> None:
    taken: list[str] = []

    def take(text: str) -> bool:
        taken.append(text)
        return True

    heard = run(lambda: converse([frame(TEXT, b"ok"), data], take))
    assert heard == ["ok", code]
    assert taken == ["ok"]


def test_a_large_frame_comes_uvicorns_way() -> None:
    text = "d" * 70_000
    chunks = cut(frame(TEXT, text.encode()) + frame(TEXT, b"end"), 30_000)
    assert run(lambda: converse(chunks, lambda taken: taken != text))[:2] == [text, "end"]


def test_a_frame_that_comes_with_the_request_is_heard() -> None:
    heard = run(lambda: converse([frame(TEXT, b"two")], lambda _: True, request=REQUEST + frame(TEXT, b"one")))
    assert heard[:2] == ["one", "two"]


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ['{"a": "\\udcff", "b": [1, 2.5, null, true]}', '{"_ts": 1.5, "nested": {"x": []}}', '{"big": 9007199254740993}'],
)
def test_a_text_means_the_same_read_quickly(text: str) -> None:
    assert parse_text(text) == parse(text)
    assert unpack(pack(parse_text(text))) == parse(text)


@pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"a": NaN}', '{"a": 1e999}', '{"a":' * 5000, " " * 1_100_000])
def test_what_is_no_message_is_told_in_the_same_words(text: str) -> None:
    with pytest.raises(WireError) as slow:
        parse(text)
    with pytest.raises(WireError) as quick:
        parse_text(text)
    assert str(quick.value) == str(slow.value)


def _job(**changes: Any) -> Print:
    return Print(5, 1, 2, 7, "a.gcode", NOW, **changes)


@pytest.mark.parametrize("current", [None, _job(), _job(g_code_file_id=4)])
@pytest.mark.parametrize("ts", [None, NOT_PRINTING, 7, 8])
@pytest.mark.parametrize("file", [{}, {"name": "a.gcode"}, {"obico_g_code_file_id": 4}, {"obico_g_code_file_id": 5}])
@pytest.mark.parametrize("event", [None, PrintEvent(EventType.STARTED.value), PrintEvent("Other", id="x")])
def test_the_quick_look_sees_what_the_whole_reading_sees(
    current: Print | None, ts: int | None, file: dict[str, Any], event: PrintEvent | None
) -> None:
    message = StatusMessage(ts, {"_ts": 1, "job": {"file": file}}, event)
    record = PrinterRecord(Printer(2, 1, "P", "t", NOW), current, None, 1)
    seen = Observation.of(message)
    named = seen.event_id is not None and seen.event is not None
    assert Tracking.needs_store(record, message) == (named or not is_idle(current, seen))


# --- the database ------------------------------------------------------------------------------------------------


def test_many_tokens_are_one_question() -> None:
    asked: list[int] = []
    record = PrinterRecord(Printer(2, 1, "P", "t", NOW), None, None, 1)

    def find(tokens: Sequence[str]) -> dict[str, PrinterRecord]:
        asked.append(len(tokens))
        return dict.fromkeys((token for token in tokens if token != "wrong"), record)

    async def journey() -> None:
        admission = Admission(find)
        tokens = [f"t{number}" for number in range(BATCH + 10)]
        found = await asyncio.gather(*(admission.record(token) for token in ["wrong", "t1", *tokens]))
        assert found == [None] + [record] * (len(tokens) + 1)
        assert sum(asked) == len(tokens) + 1
        assert max(asked) == BATCH
        assert await admission.record("t1") is record

    run(journey)


def test_a_database_that_fails_is_told_to_all_who_ask_and_asked_again() -> None:
    broken = [True]

    def find(tokens: Sequence[str]) -> dict[str, PrinterRecord]:
        if broken[0]:
            raise StoreFailed("gone")
        return {}

    async def journey() -> None:
        admission = Admission(find)
        found = await asyncio.gather(admission.record("a"), admission.record("b"), return_exceptions=True)
        assert [type(each) for each in found] == [StoreFailed, StoreFailed]
        broken[0] = False
        assert await admission.record("a") is None

    run(journey)


def test_records_of_many_printers_are_those_of_each(tmp_path: Path) -> None:
    database = open_database(tmp_path / "s.sqlite3")
    with database.write() as tx:
        user = tx.users.add(User(0, "ada", "", True, utc_now()), "hash")
        for number in range(3):
            printer = tx.printers.add(Printer(0, user.id, f"P{number}", f"t{number}", utc_now()))
            if number:
                job = tx.prints.add(Print(0, user.id, printer.id, 7, "a.gcode", utc_now()))
                archived = utc_now() if number == 2 else None
                tx.printers.save(replace(printer, archived_at=archived, current_print_id=job.id))
    with database.read() as tx:
        printers = tx.printers.of_user(user.id)
        assert list(tx.printers.records(printers)) == [tx.printers.record(printer) for printer in printers]
        assert {printer.name for printer in tx.printers.by_tokens(["t0", "t1", "t2", "other"])} == {"P0", "P1"}
    database.close()


def test_a_status_that_changes_nothing_is_no_transaction(tmp_path: Path) -> None:
    """A file id that is not the owner's says nothing, in each of thousands of statuses: it is asked about once."""
    with running(tmp_path) as server:
        owner = Owner(server)
        printer = owner.link()
        agent = owner.agent(printer)
        live = server.hub.live.get(printer["id"])

        def send(ts: float, file_id: int) -> None:
            said = status(ts, job={"file": {"name": "cube.gcode", "obico_g_code_file_id": file_id}})
            agent.send({"current_print_ts": 1_767_000_000, "status": said})

        agent.send({"current_print_ts": 1_767_000_000, "status": status(1)})
        wait_until(lambda: live.record.current_print is not None)
        begun = live.record.sequence
        for ts in range(2, 8):
            send(ts, 77)
        send(8, 78)
        wait_until(lambda: live.fruitless is not None and live.fruitless[1] == (1_767_000_000, (78, "cube.gcode")))
        assert live.record.sequence == begun + 2, "one transaction for each file"
        agent.close()
        owner.close()


def test_statuses_take_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a real connection; a viewer sees each change."""
    received: list[str] = []
    inner = SocketProtocol.send_receive_event_to_app

    def slow(self: SocketProtocol) -> None:
        received.append("slow")
        inner(self)

    monkeypatch.setattr(SocketProtocol, "send_receive_event_to_app", slow)
    with running(tmp_path) as server:
        owner = Owner(server)
        printer = owner.link()
        agent = owner.agent(printer)
        agent.send({"current_print_ts": -1, "status": status(1, "Operational"), "settings": {"agent": {"name": "x"}}})
        viewer = owner.viewer(f"/ws/web/{printer['id']}/")
        viewer.until(lambda shown: (shown["status"] or {}).get("_ts") == 1)
        before = len(received)
        for ts in range(2, 12):
            agent.send({"current_print_ts": -1, "status": status(ts, "Operational")})
            while viewer.receive()["status"]["_ts"] != ts:
                pass
        assert len(received) == before
        assert json.loads(json.dumps(owner.printer(printer["id"])["status"]))["_ts"] == 11
        for each in (agent, viewer, owner):
            each.close()
