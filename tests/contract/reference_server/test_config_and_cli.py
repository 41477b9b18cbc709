"""Options, environment, defaults; every problem is one readable line and exit code 2."""

from __future__ import annotations

import io
import logging
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference_server import cli
from reference_server.app import make_accounts, open_database
from reference_server.config import SETTINGS, ConfigError, default_data_dir, load_config
from reference_server.lock import Locked, exclusive
from reference_server.services.clock import utc_now
from reference_server.services.fleet.keys import Keys
from reference_server.services.secrets import system_random
from reference_server.store.all_tables import metadata
from reference_server.store.database import make_engine
from reference_server.store.migrate import HEAD, MigrationError, current_revision, known_revisions, migrate
from tests.unit.reference_server.support import make_config


def test_defaults_need_no_configuration_at_all() -> None:
    config = load_config({}, {})
    assert (config.host, config.port, config.public_url) == ("127.0.0.1", 3334, None)
    assert config.data_dir == Path("~/.local/share/obico-reference-server").expanduser()
    assert config.local_url == "http://127.0.0.1:3334"


def test_an_option_wins_over_the_environment() -> None:
    environment = {"OBICO_SERVER_PORT": "1", "OBICO_SERVER_HOST": "::", "XDG_DATA_HOME": "/x"}
    config = load_config({"port": "2"}, environment)
    assert (config.port, config.local_url) == (2, "http://[::1]:2")
    assert config.data_dir == Path("/x/obico-reference-server")
    assert default_data_dir({"XDG_DATA_HOME": "relative"}) == "~/.local/share/obico-reference-server"
    assert load_config({"public_url": "https://a.example/"}, {}).local_url == "https://a.example"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("port", "99999"), ("port", "-1"), ("port", "x"), ("host", "http://x"), ("host", ""), ("public_url", "ftp://x"),
        ("public_url", "https://x/path"), ("log_level", "loud"), ("trusted_proxies", "my proxy"), ("data_dir", "a\0b"),
        ("pic_limit_per_minute", "2.5"), ("detector", "magic"), ("ml_api_url", "here"), ("detector_timeout", "0"),
        ("detection_every", "soon"), ("detector_model", "a\0b"), ("allow_private_addresses", "perhaps"),
    ],
)  # fmt: skip
def test_nonsense_is_named(key: str, text: str) -> None:
    with pytest.raises(ConfigError, match="--" + key.replace("_", "-")):
        load_config({key: text}, {})


def test_help_lists_every_option_with_variable_and_default() -> None:
    text = cli.make_parser().format_help()
    for setting in SETTINGS:
        assert (f"--{setting.option} " in text) != setting.secret
        assert setting.env in text


def test_a_secret_is_shown_nowhere() -> None:
    config = load_config({}, {"ML_API_TOKEN": "hush"})
    assert config.ml_api_token == "hush"
    assert "hush" not in repr(config)
    with pytest.raises(ConfigError, match="ML_API_TOKEN: its value cannot be used"):
        load_config({}, {"ML_API_TOKEN": "hush\nhush"})


@pytest.mark.parametrize(
    "command",
    [
        "run", "create-user", "create-key", "set-password", "backup", "restore", "migrate", "import-obico", "doctor",
        "rebuild-figures",
    ],
)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"], {})
    text = capsys.readouterr().out
    assert (ended.value.code, "example" in text, "--data-dir" in text) == (0, True, True)
    assert f"obico-reference-server {command}" in text


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def run_cli(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(stdin))
        code = cli.main(arguments, {}, out, err)
    return code, out.getvalue(), err.getvalue()


def one_line(text: str) -> bool:
    return text.startswith("obico-reference-server: ") and text.count("\n") == 1 and "Traceback" not in text


def test_users_are_made_from_the_command_line(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "d"))
    assert run_cli("create-user", "ada", "--password-stdin", *data, stdin="long enough\n") == (
        0, "User ada was created and owns this server.\n", "",
    )  # fmt: skip
    assert run_cli("create-user", "bob", *data, stdin="long enough\n")[1] == "User bob was created.\n"
    code, _, err = run_cli("create-user", "ADA", *data, stdin="long enough\n")
    assert (code, one_line(err)) == (2, True)
    code, _, err = run_cli("create-user", "eve", *data, stdin="short\n")
    assert (code, one_line(err)) == (2, True)
    assert "8 to 1024" in err
    assert (tmp_path / "d").stat().st_mode & 0o077 == 0


def test_members_and_fleet_keys_are_made_from_the_command_line(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path))
    run_cli("create-user", "ada", "--password-stdin", *data, stdin="long enough\n")
    made = run_cli("create-user", "eve", "--organization-of", "ada", "--role", "operator", *data, stdin="long enough\n")
    assert made == (0, "User eve was created, as operator in the organization of ada.\n", "")
    assert run_cli("create-user", "x", "--role", "admin", *data, stdin="long enough\n")[0] == 2
    assert run_cli("create-user", "x", "--organization-of", "nobody", *data, stdin="long enough\n")[0] == 2
    code, key, told = run_cli("create-key", "ci", "--user", "eve", "--scopes", "jobs:write,printers:read", *data)
    assert (code, told.partition(", ")[2]) == (0, "for eve: jobs:write printers:read\n")
    database = open_database(tmp_path / "server.sqlite3")
    try:
        identity = Keys(database, utc_now, system_random).identify(key.strip())
        assert (identity.person.name, identity.account.name) == ("eve", "ada")
        assert identity.scopes == {"jobs:write", "printers:read"}
    finally:
        database.close()
    beyond = run_cli("create-key", "ci", "--user", "eve", "--scopes", "admin:*", *data)
    assert (beyond[0], beyond[2]) == (2, "obico-reference-server: scopes: You may not do this yourself: admin:*.\n")
    assert run_cli("create-key", "ci", "--user", "ada", "--scopes", "jobs:write", "--days", "0", *data)[0] == 2


def test_a_password_is_set_from_the_command_line(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "d"))
    assert run_cli("set-password", "ada", *data, stdin="x\n")[0] == 2  # and no database is made
    assert not (tmp_path / "d").exists()
    run_cli("create-user", "ada", *data, stdin="long enough\n")
    database = open_database(make_config(tmp_path / "d").database)
    accounts = make_accounts(database)
    ada = accounts.log_in("ada", "long enough", "").user
    accounts.second_factors.begin(ada)
    code, out, _ = run_cli("set-password", "ADA", "--no-second-factor", *data, stdin="even longer\n")
    assert (code, "1 sessions have ended" in out) == (0, True)
    assert accounts.log_in("ada", "even longer", "").user == ada
    assert accounts.sessions(ada)[1:] == []
    with database.read() as tx:
        assert tx.second_factors.get(ada.id) is None
        assert [entry.action for entry in tx.audit.newest(0, 9)[0]] == [
            "auth.second_factor.delete", "auth.password", "users.create",
        ]  # fmt: skip
    database.close()
    code, _, err = run_cli("set-password", "eve", *data, stdin="even longer\n")
    assert (code, "no user eve" in err, one_line(err)) == (2, True, True)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run_cli("--data-dir", str(tmp_path), "--port", str(port))
    assert (code, one_line(err)) == (2, True)
    assert f"127.0.0.1:{port}" in err


def test_an_unknown_address_is_named(tmp_path: Path) -> None:
    code, _, err = run_cli("--data-dir", str(tmp_path), "--host", "no.such.host.invalid")
    assert (code, one_line(err)) == (2, True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run_cli("--data-dir", str(tmp_path / "file" / "d"))
    assert (code, one_line(err)) == (2, True)
    assert "--data-dir" in err
    assert run_cli("--port", "x")[0] == 2


def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        code, _, err = run_cli("--data-dir", str(tmp_path), "--port", "0")
        with pytest.raises(Locked), exclusive(tmp_path):
            pass
    assert (code, one_line(err)) == (2, True)
    with exclusive(tmp_path):
        assert (tmp_path / "server.lock").exists()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    open_database(config.database).close()
    with sqlite3.connect(config.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    code, _, err = run_cli("--data-dir", str(tmp_path), "--port", "0")
    assert (code, one_line(err)) == (2, True)
    assert "newer" in err


def test_rubbish_instead_of_a_database_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    config.database.write_bytes(b"this is no database" * 100)
    with pytest.raises(MigrationError, match="backup"):
        open_database(config.database)


def test_head_is_the_newest_migration(tmp_path: Path) -> None:
    assert max(known_revisions()) == HEAD
    engine = make_engine(tmp_path / "x.sqlite3")
    assert current_revision(engine) is None
    migrate(engine, tmp_path / "x.sqlite3")
    assert current_revision(engine) == HEAD
    engine.dispose()


def test_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext


    engine = make_engine(tmp_path / "x.sqlite3")
    migrate(engine, tmp_path / "x.sqlite3")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
