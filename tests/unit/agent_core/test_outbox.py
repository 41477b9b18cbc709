"""What is told to the server survives crashes, full disks and damaged files."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import NoReturn

import pytest

from agent_core import database as database_module
from agent_core import outbox as module
from agent_core.database import FILE_NAME, Database
from agent_core.outbox import Entry, Lane, Outbox


def ids(outbox: Outbox, limit: int = 5000) -> list[str]:
    return [entry.id for entry in outbox.waiting(limit)]


def entries(*names: str) -> list[Entry]:
    return [Entry(name, f'{{"frame":"{name}"}}') for name in names]


def test_events_wait_in_order_over_a_restart(tmp_path: Path) -> None:
    database = Database(str(tmp_path))
    outbox = Outbox(database)
    outbox.append(entries("a", "b"))
    outbox.append(entries("c"))
    database.close()
    again = Outbox(Database(str(tmp_path)))
    assert len(again) == 3
    assert again.waiting(2) == entries("a", "b")
    assert again.waiting(2, frozenset({"a", "c"})) == entries("b")
    again.remove(("a", "unknown"))
    assert ids(again) == ["b", "c"]


def test_nothing_is_lost_by_a_kill(tmp_path: Path) -> None:
    """The file is read by a second connection while the first one never closes: what a kill leaves behind."""
    outbox = Outbox(Database(str(tmp_path)))
    outbox.append(entries("a"))
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        assert other.execute("SELECT id FROM events").fetchall() == [("a",)]
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_event_and_its_record_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    database = Database(str(tmp_path))
    outbox = Outbox(database)

    def bug() -> None:
        database.save("print", {"ts": 1})
        raise KeyError("bug")

    with pytest.raises(KeyError):
        outbox.append(entries("a"), bug)
    assert len(outbox) == 0
    assert database.load("print") is None
    outbox.append(entries("a"), lambda: database.save("print", {"ts": 1}))
    assert database.load("print") == {"ts": 1}


def test_the_outbox_is_bounded_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    outbox = Outbox(Database(str(tmp_path)))
    with caplog.at_level(logging.ERROR):
        for name in "abcde":
            outbox.append(entries(name))
    assert ids(outbox) == ["c", "d", "e"]
    assert "oldest" in caplog.text


def test_a_full_disk_keeps_events_in_memory_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(str(tmp_path))
    outbox = Outbox(database)
    outbox.append(entries("a"))
    with database.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    big = [Entry(f"big{number}", "x" * 100_000) for number in range(3)]
    with caplog.at_level(logging.ERROR):
        for entry in big:
            outbox.append([entry])
    assert ids(outbox) == ["a", "big0", "big1", "big2"]
    assert caplog.text.count("free some space") == 1
    outbox.remove(("big1",))
    assert ids(outbox) == ["a", "big0", "big2"]
    assert len(outbox) == 3


def test_memory_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY_LIMIT", 2)
    database = Database(str(tmp_path))
    outbox = Outbox(database)
    database.close()
    for name in "abc":
        outbox.append(entries(name))
    assert ids(outbox) == ["b", "c"]


def test_an_event_that_cannot_be_struck_off_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(str(tmp_path))
    outbox = Outbox(database)
    outbox.append(entries("a"))
    database.close()
    with caplog.at_level(logging.WARNING):
        outbox.remove(("a",))
    assert "struck off" in caplog.text


@pytest.mark.parametrize("rubbish", [b"this is no database at all, but a text of some length", b"\0" * 8192])
def test_a_damaged_file_is_put_aside_and_said(
    tmp_path: Path, rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(rubbish)
    with caplog.at_level(logging.ERROR):
        outbox = Outbox(Database(str(tmp_path)))
    outbox.append(entries("a"))
    assert ids(outbox) == ["a"]
    assert "damaged" in caplog.text
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged-*") if path.stat().st_size] == [rubbish]


def test_a_damaged_page_in_the_middle_is_found_at_start(tmp_path: Path) -> None:
    database = Database(str(tmp_path))
    Outbox(database).append([Entry(str(number), "x" * 3000) for number in range(50)])
    database.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 9] = b"\xff" * (4096 * 6)
    path.write_bytes(content)
    assert len(Outbox(Database(str(tmp_path)))) == 0


def test_a_folder_that_cannot_be_used_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Database(str(tmp_path / "file" / "folder"))
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(OSError, match="cannot use"):
        Database(str(tmp_path))


def test_records(tmp_path: Path) -> None:
    database = Database(str(tmp_path))
    assert database.load("pause") is None
    database.save("pause", {"retract": 6.5})
    database.save("pause", {"retract": 1.5})
    assert database.load("pause") == {"retract": 1.5}
    database.remove("pause")
    database.remove("pause")
    assert database.load("pause") is None
    with database.transaction() as connection:
        connection.execute("INSERT INTO records VALUES ('bad', 'not json'), ('list', '[1]')")
    assert database.load("bad") is None
    assert database.load("list") is None
    database.close()
    database.close()
    assert database.load("pause") is None
    with pytest.raises(OSError, match="closed"):
        database.save("pause", {})


def test_a_record_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    database = Database(str(tmp_path))
    with database.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OSError, match="full"):
        database.save("pause", {"x": "y" * 100_000})
    database.save("pause", {"x": 1})


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    Database(str(tmp_path / "new")).save("a", {})
    assert os.stat(tmp_path / "new" / FILE_NAME).st_mode & 0o077 == 0  # noqa: PTH116 - the mode bits are the point


def test_reading_a_broken_database_gives_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(str(tmp_path))
    with caplog.at_level(logging.ERROR):
        assert database.read("SELECT nonsense FROM nowhere") == []
    assert "cannot read" in caplog.text


class FullDisk:
    """Lets the database write, or not, as a disk that fills up and is cleared again."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._database = database
        self._patch = monkeypatch

    def fills(self) -> None:
        def refuse() -> NoReturn:
            raise OSError("database or disk is full")

        self._patch.setattr(self._database, "transaction", refuse)

    def is_cleared(self) -> None:
        self._patch.undo()


def test_the_order_holds_over_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PrintDone must not overtake its own PrintStarted, which the disk did not take."""
    database = Database(str(tmp_path))
    outbox, disk = Outbox(database), FullDisk(database, monkeypatch)
    outbox.append(entries("before"))
    disk.fills()
    outbox.append(entries("started"), lambda: database.save("print", {"ts": 1}))
    disk.is_cleared()
    outbox.append(entries("done"))
    assert ids(outbox) == ["before", "started", "done"]
    assert len(outbox) == 3
    database.close()
    again = Database(str(tmp_path))
    assert ids(Outbox(again)) == ["before", "started", "done"]
    assert again.load("print") == {"ts": 1}


def test_a_record_that_the_disk_refused_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next start would take a print that ended long ago for one under way."""
    database = Database(str(tmp_path))
    outbox, disk = Outbox(database), FullDisk(database, monkeypatch)
    outbox.append(entries("started"), lambda: database.save("print", {"ts": 1}))
    disk.fills()
    outbox.append(entries("done"), lambda: database.remove("print"))
    disk.is_cleared()
    outbox.remove(("started", "done"))
    assert database.load("print") is None
    assert len(outbox) == 0


def test_a_delivered_event_is_not_given_out_again_by_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else agent and server would pass the same events to and fro without end."""
    database = Database(str(tmp_path))
    outbox, disk = Outbox(database), FullDisk(database, monkeypatch)
    outbox.append(entries("a", "b"))
    disk.fills()
    outbox.remove(("a",))
    outbox.remove(("b",))
    assert ids(outbox) == []
    assert len(outbox) == 0
    assert len(caplog.records) == 1
    disk.is_cleared()
    outbox.append(entries("c"))
    assert ids(outbox) == ["c"]
    database.close()
    assert ids(Outbox(Database(str(tmp_path)))) == ["c"]


def test_a_start_on_a_full_disk_keeps_the_file_and_works_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sound file once was put aside as damaged then (`disk I/O error`), and the agent ended."""
    first = Database(str(tmp_path))
    Outbox(first).append(entries("a"), lambda: first.save("print", {"ts": 1}))
    first.close()

    def refuse(_self: Database) -> NoReturn:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_open", refuse)
        patch.setattr(database_module, "FULL_BYTES", float("inf"))
        database = Database(str(tmp_path))
    assert caplog.text.count("the disk is full") == 1
    outbox = Outbox(database)
    outbox.append(entries("b"))
    assert ids(outbox) == ["a", "b"]
    assert database.load("print") == {"ts": 1}
    database.close()
    assert ids(Outbox(Database(str(tmp_path)))) == ["a"]
    assert [file.name for file in tmp_path.iterdir() if "damaged" in file.name] == []


def test_a_first_start_on_a_full_disk_works_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Database) -> NoReturn:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Database, "_open", refuse)
    outbox = Outbox(Database(str(tmp_path)))
    outbox.append(entries("a"))
    assert ids(outbox) == ["a"]


def test_the_end_of_a_print_is_dropped_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 4)
    said: list[str] = []
    outbox = Outbox(Database(str(tmp_path)), said.append)
    outbox.append([Entry("done-1", "{}", terminal=True)])
    outbox.append(entries("paused-1", "resumed-1"))
    outbox.append([Entry("note-1", "{}", Lane.HTTP)])
    outbox.append([Entry("done-2", "{}", terminal=True)])
    assert ids(outbox) == ["done-1", "resumed-1", "done-2"]
    for number in range(3, 6):
        outbox.append([Entry(f"done-{number}", "{}", terminal=True)])
    assert ids(outbox) == ["done-2", "done-3", "done-4", "done-5"]
    assert not outbox.by_http
    assert len(said) == 1


def test_each_lane_for_itself(tmp_path: Path) -> None:
    outbox = Outbox(Database(str(tmp_path)))
    assert not outbox.by_http
    outbox.append([Entry("a", "{}"), Entry("b", "{}", Lane.HTTP), Entry("c", "{}", terminal=True)])
    assert outbox.waiting(9) == [Entry("a", "{}"), Entry("c", "{}", terminal=True)]
    assert outbox.waiting(9, lane=Lane.HTTP) == [Entry("b", "{}", Lane.HTTP)]
    assert (len(outbox), outbox.by_http) == (3, True)
    outbox.remove(("b",))
    assert not outbox.by_http


def test_what_the_disk_refused_is_written_without_waiting_for_the_next_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, said = Database(str(tmp_path)), list[str]()
    outbox, disk = Outbox(database, said.append), FullDisk(database, monkeypatch)
    disk.fills()
    outbox.append([Entry("a", "{}", Lane.HTTP)])
    assert (outbox.unsaved, outbox.by_http, len(said)) == (True, True, 1)
    outbox.retry()
    disk.is_cleared()
    outbox.retry()
    assert not outbox.unsaved
    assert [entry.id for entry in Outbox(database).waiting(9, lane=Lane.HTTP)] == ["a"]


def test_a_file_of_the_first_days_is_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as old:
        old.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
                    "frame TEXT NOT NULL)")  # fmt: skip
        old.execute("INSERT INTO events (id, frame) VALUES ('a', '{}')")
    old.close()
    outbox = Outbox(Database(str(tmp_path)))
    outbox.append(entries("b"))
    assert ids(outbox) == ["a", "b"]


def test_a_file_damaged_in_use_is_replaced_and_what_can_be_read_is_kept(tmp_path: Path) -> None:
    database = Database(str(tmp_path))
    outbox = Outbox(database)
    database.save("print", {"ts": 1})
    outbox.append([Entry(f"{number:02}", f'"{"x" * 3000}"') for number in range(99)])
    database.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[4096 * 20 :] = b"\xff" * (len(content) - 4096 * 20)
    database = Database(str(tmp_path))
    outbox = Outbox(database)
    path.write_bytes(content)  # while it is open
    outbox.append(entries("after"))
    outbox.append(entries("and on"))
    database.close()
    again = Database(str(tmp_path))
    kept = ids(Outbox(again))
    assert kept[:3] == ["00", "01", "02"]
    assert kept[-1] == "and on"
    assert again.load("print") == {"ts": 1}


def test_nothing_is_written_for_reading(tmp_path: Path) -> None:
    database = Database(str(tmp_path))
    outbox = Outbox(database)
    outbox.append(entries("a"))
    before = database.commits
    for _ in range(100):
        outbox.waiting(20)
        assert len(outbox) == 1
        database.load("print")
    assert database.commits == before == 1


def test_two_thousand_events_over_ten_restarts(tmp_path: Path) -> None:
    """The whole of what may wait: none is lost, none is doubled, and the next costs the oldest that ends no print."""
    names = [f"event-{number:04}" for number in range(module.LIMIT)]
    for life in range(10):
        database = Database(str(tmp_path))
        outbox = Outbox(database)
        for begin in range(life * 200, life * 200 + 200, 50):
            batch = names[begin : begin + 50]
            lanes = [Entry(name, "{}", Lane(int(name[-1]) % 2), terminal=name[-1] in "04") for name in batch]
            outbox.append(lanes)
            outbox.append(lanes)  # told twice by a host that is not sure
        assert len(outbox) == life * 200 + 200
        database.close()
    outbox = Outbox(Database(str(tmp_path)))
    waiting = [*outbox.waiting(5000), *outbox.waiting(5000, lane=Lane.HTTP)]
    assert sorted(entry.id for entry in waiting) == names
    outbox.append([Entry("one more", "{}"), Entry("and another", "{}")])
    assert len(outbox) == module.LIMIT
    left = {entry.id for entry in [*outbox.waiting(5000), *outbox.waiting(5000, lane=Lane.HTTP)]}
    assert set(names) - left == {"event-0001", "event-0002"}
