"""The store keeps its promises: durability settings, one writer, bounded memory of ids, errors without secrets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from reference_server.app import open_database
from reference_server.services.clock import utc_now
from reference_server.services.errors import Conflict, StoreFailed
from reference_server.services.model import Print, Printer, User
from reference_server.services.ports import PrintQuery, Sorting
from reference_server.store import print_repositories
from reference_server.store.database import Database
from reference_server.store.repositories import SqlTransaction


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(tmp_path / "s.sqlite3")
    yield found
    found.close()


def seed(tx: SqlTransaction) -> Printer:
    user = tx.users.add(User(0, "ada", "", True, utc_now()), "hash")
    return tx.printers.add(Printer(0, user.id, "P", "token", utc_now()))


def test_commits_survive_a_power_cut(database: Database) -> None:
    with database._engine.connect() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000}


def test_a_failed_block_leaves_nothing(database: Database) -> None:
    def break_off() -> None:
        with database.write() as tx:
            seed(tx)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    with database.read() as tx:
        assert tx.users.count() == 0


def test_a_print_is_never_made_twice(database: Database) -> None:
    with database.write() as tx:
        printer = seed(tx)
        job = Print(0, printer.user_id, printer.id, 7, "a.gcode", utc_now())
        tx.prints.add(job)
    with pytest.raises(StoreFailed) as caught, database.write() as tx:
        tx.prints.add(job)
    assert "a.gcode" not in str(caught.value)


def test_names_are_unique_in_any_case(database: Database) -> None:
    with database.write() as tx:
        seed(tx)
    with pytest.raises(Conflict), database.write() as tx:
        tx.users.add(User(0, "ADA", "", False, utc_now()), "hash")


def test_only_the_last_ids_are_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(print_repositories, "APPLIED_EVENTS_KEPT", 3)
    monkeypatch.setattr(print_repositories, "ANSWERS_KEPT", 1)
    with database.write() as tx:
        printer = seed(tx)
        for number in range(5):
            tx.events.mark_applied(printer.id, str(number), utc_now())
            tx.events.keep_answer(printer.id, str(number), "{}", utc_now())
        applied = [tx.events.is_applied(printer.id, str(number)) for number in range(5)]
        assert applied == [False, False, True, True, True]
        assert tx.events.answer(printer.id, "3") is None
        assert tx.events.answer(printer.id, "4") == "{}"


def test_enough_ids_are_kept_for_a_whole_outbox() -> None:
    assert print_repositories.APPLIED_EVENTS_KEPT >= 2000


def test_prints_are_sorted_by_start_then_id(database: Database) -> None:
    with database.write() as tx:
        printer = seed(tx)
        at = utc_now()
        for ext_id in range(3):
            tx.prints.add(Print(0, printer.user_id, printer.id, ext_id, "a.gcode", at))
        newest, total = tx.prints.find(PrintQuery(printer.user_id, limit=2))
        oldest, _ = tx.prints.find(PrintQuery(printer.user_id, sorting=Sorting.DATE_ASC, start=1))
    assert (total, [job.ext_id for job in newest], [job.ext_id for job in oldest]) == (3, [2, 1], [1, 2])


def test_writers_queue_instead_of_failing(database: Database) -> None:
    with database.write() as tx:
        printer = seed(tx)

    def rename() -> None:
        for _ in range(20):
            with database.write() as tx:
                found = tx.printers.get(printer.id)
                assert found is not None
                tx.printers.save(replace(found, name=found.name + "x"))

    threads = [threading.Thread(target=rename) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with database.read() as tx:
        found = tx.printers.get(printer.id)
    assert found is not None
    assert found.name == "P" + "x" * 80


def test_a_lost_database_is_told_as_such(tmp_path: Path) -> None:
    database = open_database(tmp_path / "s.sqlite3")
    with database.write() as tx:
        tx.users._session.execute(text("DROP TABLE sessions"))
    with pytest.raises(StoreFailed, match="did not take the change"), database.write() as tx:
        tx.sessions.remove("x")
    with pytest.raises(StoreFailed, match="cannot be read"), database.read() as tx:
        tx.sessions.find("x")
    database.check()
    database.close()
