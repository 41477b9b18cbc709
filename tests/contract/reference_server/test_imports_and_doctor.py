"""`import-obico` from a database with Django's tables, and `doctor`."""

from __future__ import annotations

import base64
import hashlib
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reference_server.app import make_accounts, open_database
from reference_server.lock import exclusive
from reference_server.services.errors import Unauthenticated
from reference_server.services.model import ActionOnFailure, EndedReason
from reference_server.services.passwords import Passwords
from reference_server.services.ports import PrintQuery
from reference_server.store.database import Database
from tests.contract.reference_server.test_config_and_cli import one_line, run_cli
from tests.unit.reference_server.support import PASSWORD, make_config

TOKEN = "0123456789abcdef0123"


def django_hash(password: str, rounds: int = 1000) -> str:
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", rounds)
    return f"pbkdf2_sha256${rounds}$salt${base64.b64encode(digest).decode()}"


def foreign(path: Path, *, small: bool = False) -> Path:
    """A public server's database; `small`: an old one that lacks most columns."""
    argon2 = "argon2" + Passwords(memory_kib=8, rounds=1).hash(PASSWORD)
    with closing(sqlite3.connect(path)) as database, database:
        if small:
            database.executescript(f"""
                CREATE TABLE app_user (id INTEGER, email TEXT, password TEXT);
                INSERT INTO app_user VALUES (1, 'ada@example.org', '{django_hash(PASSWORD)}');
                CREATE TABLE app_printer (id INTEGER, user_id INTEGER, auth_token TEXT);
                INSERT INTO app_printer VALUES (1, 1, '{TOKEN}');
            """)
            return path
        database.executescript(f"""
            CREATE TABLE app_user (id INTEGER, email TEXT, password TEXT, is_superuser BOOL, date_joined DATETIME);
            INSERT INTO app_user VALUES
                (3, 'ada@example.org', '{django_hash(PASSWORD)}', 0, '2021-05-01 10:00:00.123456'),
                (4, 'root@example.org', '{argon2}', 1, '2021-04-01 10:00:00'),
                (5, 'old@example.org', 'sha1$x$y', 0, NULL),
                (6, '', 'x', 0, NULL);
            CREATE TABLE app_printer (
                id INTEGER, user_id INTEGER, name TEXT, auth_token TEXT, created_at DATETIME, archived_at DATETIME,
                deleted DATETIME, action_on_failure TEXT, watching_enabled BOOL, retract_on_pause REAL,
                lift_z_on_pause REAL, detective_sensitivity REAL, current_print_id INTEGER, service_token TEXT);
            INSERT INTO app_printer VALUES
                (10, 3, 'Prusa', '{TOKEN}', '2021-05-02 10:00:00', NULL, NULL, 'NONE', 0, 4.5, 999, 1.1, 103, 'x'),
                (11, 3, 'Gone', 'deadbeefdeadbeef0000', '', NULL, '2022-01-01', 'PAUSE', 1, 1, 1, 1, NULL, ''),
                (12, 3, 'No token', '', '2021-05-02', NULL, NULL, 'PAUSE', 1, 1, 1, 1, NULL, ''),
                (13, 99, 'Nobody''s', 'aaaabbbbccccddddeeee', '2021-05-02', NULL, NULL, 'PAUSE', 1, 1, 1, 1, NULL, '');
            CREATE TABLE app_print (
                id INTEGER, user_id INTEGER, printer_id INTEGER, ext_id INTEGER, filename TEXT, started_at DATETIME,
                finished_at DATETIME, cancelled_at DATETIME, alert_overwrite TEXT, updated_at DATETIME,
                deleted DATETIME);
            INSERT INTO app_print VALUES
                (100, 3, 10, 1600000000, 'a.gcode', '2021-05-03 10:00:00', '2021-05-03 11:00:00', NULL, 'FAILED', NULL,
                 NULL),
                (101, 3, 10, NULL, 'b.gcode', '2021-05-04 10:00:00', NULL, '2021-05-04 10:30:00', NULL, NULL, NULL),
                (102, 3, 10, 1600000002, 'c.gcode', '2021-05-05 10:00:00', NULL, NULL, NULL, '2021-05-05 12:00:00',
                 NULL),
                (103, 3, 10, 1600000003, 'd.gcode', '2021-05-06 10:00:00', NULL, NULL, NULL, NULL, NULL),
                (104, 3, 10, 1600000004, 'e.gcode', '2021-05-07 10:00:00', NULL, NULL, NULL, NULL, '2021-05-08'),
                (105, 3, 12, 1600000005, 'f.gcode', '2021-05-07 10:00:00', NULL, NULL, NULL, NULL, NULL);
        """)
    return path


def opened(folder: Path) -> Database:
    return open_database(make_config(folder).database)


def test_users_printers_and_prints_come_over_once(tmp_path: Path) -> None:
    source, data = str(foreign(tmp_path / "db.sqlite3")), ("--data-dir", str(tmp_path / "d"))
    untouched = Path(source).read_bytes()
    code, out, err = run_cli("import-obico", source, "--dry-run", *data)
    assert (code, err) == (0, "")
    assert out.startswith("3 users, 1 printers, 4 prints would be taken; 0 known before.\n")
    database = opened(tmp_path / "d")
    with database.read() as tx:
        assert tx.users.count() == 0
    code, out, _ = run_cli("import-obico", source, *data)
    assert out.splitlines() == [
        "3 users, 1 printers, 4 prints taken; 0 known before.",
        "  old@example.org needs a new password: obico-reference-server set-password",
        "  left out: user 6: neither name nor e-mail address",
        "  left out: printer 12: it has no usable token",
        "  left out: printer 13: its user was not taken",
        "  left out: print 105: its printer was not taken",
    ]
    assert run_cli("import-obico", source, *data)[1].startswith(
        "0 users, 0 printers, 0 prints taken; 8 known before.\n"
    )
    assert Path(source).read_bytes() == untouched

    accounts = make_accounts(database)
    ada = accounts.log_in("ada@example.org", PASSWORD, "").user
    root = accounts.log_in("root@example.org", PASSWORD, "").user
    assert (ada.is_owner, root.is_owner) == (False, True)
    with pytest.raises(Unauthenticated):
        accounts.log_in("old@example.org", "", "")
    with database.read() as tx:
        for user in (ada, root):
            assert str(tx.users.password_hash(user.id)).startswith("$argon2id$")
            assert "m=19456," in str(tx.users.password_hash(user.id))
        printer = tx.printers.by_token(TOKEN)
        assert printer is not None
        assert (printer.user_id, printer.name, printer.action_on_failure) == (ada.id, "Prusa", ActionOnFailure.NONE)
        # What makes no sense here (999 mm) stays at our default.
        assert (printer.watching_enabled, printer.retract_on_pause, printer.lift_z_on_pause) == (False, 4.5, 2.5)
        prints, total = tx.prints.find(PrintQuery(ada.id))
        reasons = {job.filename: (job.ext_id, job.ended_reason) for job in prints}
        assert total == 4
        assert reasons == {
            "a.gcode": (1600000000, EndedReason.DONE), "b.gcode": (1620122400, EndedReason.CANCELLED),
            "c.gcode": (1600000002, EndedReason.LOST), "d.gcode": (1600000003, None),
        }  # fmt: skip
        current = tx.prints.get(printer.current_print_id or 0)
        assert current is not None
        assert current.filename == "d.gcode"
    database.close()


def test_an_old_server_lacks_columns_and_that_is_fine(tmp_path: Path) -> None:
    source = str(foreign(tmp_path / "db.sqlite3", small=True))
    code, out, _ = run_cli("import-obico", source, "--data-dir", str(tmp_path / "d"))
    assert (code, out) == (0, "1 users, 1 printers, 0 prints taken; 0 known before.\n")


def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"no database" * 100)
    sqlite3.connect(tmp_path / "empty").close()
    for name in ("rubbish", "empty", "none"):
        code, _, err = run_cli("import-obico", str(tmp_path / name), "--data-dir", str(tmp_path / "d"))
        assert (code, one_line(err)) == (2, True), err
    with exclusive(tmp_path):
        source = str(foreign(tmp_path / "db.sqlite3"))
        code, _, err = run_cli("import-obico", source, "--data-dir", str(tmp_path))
        assert (code, "another server" in err) == (2, True)


@pytest.mark.parametrize(
    "password_hash", ["pbkdf2_sha256$x$salt$eA==", "pbkdf2_sha256$1$salt$?", "pbkdf2_sha256$99999999$s$eA==", "!", ""]
)
def test_a_broken_hash_lets_nobody_in(password_hash: str) -> None:
    assert Passwords(memory_kib=8, rounds=1).matches(PASSWORD, password_hash) is False


def test_the_doctor_finds_nothing_where_all_is_well(tmp_path: Path) -> None:
    opened(tmp_path).close()
    tmp_path.chmod(0o700)
    (tmp_path / "server.sqlite3").chmod(0o600)
    code, out, err = run_cli("doctor", "--data-dir", str(tmp_path), "--port", "0")
    assert (code, err) == (0, ""), out
    assert "BAD" not in out
    for what in ("data folder", "disk", "database", "clock", "port", "detector"):
        assert f" {what}: " in out
    fresh = run_cli("doctor", "--data-dir", str(tmp_path / "none"), "--port", "0")
    assert fresh[0] == 0
    assert not (tmp_path / "none").exists()  # it only looks


def test_the_doctor_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "secret.key").write_bytes(b"x" * 32)
    (tmp_path / "secret.key").chmod(0o644)
    tmp_path.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, _ = run_cli(
            "doctor", "--data-dir", str(tmp_path), "--port", port, "--public-url", "http://127.0.0.1:1",
            "--detector", "local",
        )  # fmt: skip
    bad = [line for line in out.splitlines() if line.startswith("BAD")]
    assert code == 1
    for words in ("chmod 700", "chmod 600", "choose another --port", "cannot be reached", "--detector-model"):
        assert any(words in line for line in bad), words
    with sqlite3.connect(tmp_path / "server.sqlite3") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert "newer program" in run_cli("doctor", "--data-dir", str(tmp_path), "--port", "0")[1]
    (tmp_path / "server.sqlite3").write_bytes(b"rubbish" * 1000)
    code, out, _ = run_cli("doctor", "--data-dir", str(tmp_path), "--port", "0")
    assert (code, "restore a backup" in out) == (1, True)
    with exclusive(tmp_path):
        out = run_cli("doctor", "--data-dir", str(tmp_path), "--port", "1")[1]
    assert "does not answer" in out
