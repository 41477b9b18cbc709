"""The configuration file: what is read, what is refused, and in which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent_core.config import DEFAULT_SERVER, PictureRules, Secret
from agent_core.errors import ConfigInvalid
from moonraker_obico.config import KEYS, HostConfig, default_data_dir, load, read
from moonraker_obico.files import read_token, write_token
from moonraker_obico.ini import parse, with_value

EXAMPLE = Path(__file__).resolve().parents[3] / "config.example.ini"

PUBLIC = """\
[server]
url = https://app.obico.io
auth_token = 0123456789abcdef0123
# sentry_opt: out

[moonraker]
host = 127.0.0.1
port = 7125
# api_key = <grab one or set trusted hosts in moonraker>

[webcam]
disable_video_streaming = False
# CAUTION: Don't modify the settings below unless you know what you are doing
# snapshot_url = http://127.0.0.1:8080/?action=snapshot
# target_fps = 25
flip_h = False
flip_v = True
rotation = 180
aspect_ratio_169 = True

[logging]
path = /home/pi/printer_data/logs/moonraker-obico.log
level = DEBUG

[tunnel]
# dest_host = 127.0.0.1
url_blacklist =
    /a
    /b

[meta]
anything = goes
"""


def config(text: str, tmp_path: Path) -> HostConfig:
    return read(text, tmp_path / "moonraker-obico.cfg", {})


def test_a_public_configuration_is_read_unchanged_and_without_a_word(tmp_path: Path) -> None:
    read_in = config(PUBLIC, tmp_path)
    assert read_in.warnings == ()
    assert read_in.server_url == DEFAULT_SERVER
    assert read_in.token == Secret("0123456789abcdef0123")
    assert read_in.token_in_file
    assert (read_in.moonraker_host, read_in.moonraker_port, read_in.api_key) == ("127.0.0.1", 7125, None)
    (webcam,) = read_in.webcams
    assert (webcam.name, webcam.flip_h, webcam.flip_v, webcam.rotation, webcam.ratio) == ("", False, True, 180, "16:9")
    assert not webcam.has_address
    assert (str(read_in.log_path), read_in.log_level) == ("/home/pi/printer_data/logs/moonraker-obico.log", "DEBUG")


def test_the_example_parses_and_documents_every_key(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert config(text, tmp_path).warnings == ()
    # With every setting switched on it is still right.
    switched_on = re.sub(r"(?m)^;(?=[\w\[])", "", text)
    full = config(switched_on, tmp_path)
    assert full.warnings == ()
    assert [webcam.name for webcam in full.webcams] == ["", "nozzle"]
    sections = {section.name: section for section in parse(switched_on, "example")}
    for name, keys in KEYS.items():
        assert set(keys) <= set(sections[name].entries), name


def test_an_empty_file_has_working_defaults_and_says_so(tmp_path: Path) -> None:
    read_in = config("", tmp_path)
    assert (read_in.server_url, read_in.moonraker_host, read_in.moonraker_port) == (DEFAULT_SERVER, "127.0.0.1", 7125)
    assert read_in.token is None
    assert [warning.split(": ", 1)[1] for warning in read_in.warnings] == [
        "there is no [server] section; using https://app.obico.io",
        "there is no [moonraker] section; using 127.0.0.1, port 7125",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[moonraker]\nport: 71x25\n", r"\[moonraker\] port, line 2: '71x25' is not a port: a number from 1 to 65535"),
        ("[moonraker]\nport: 99999\n", r"\[moonraker\] port, line 2"),
        ("[moonraker]\n\nhost: http://pi:7125\n", r"\[moonraker\] host, line 3: .*leave out http://"),
        ("[server]\nurl: ftp://x\n", r"\[server\] url, line 2: .*http:// or https://"),
        ("[server]\nauth_token: no token!\n", r"\[server\] auth_token, line 2: .*moonraker-obico link"),
        ("[server\nurl: x\n", r"line 1: the section header '\[server' has no closing bracket"),
        ("url: x\n", r"line 1: 'url' stands before the first \[section\]"),
        ("[server]\nnonsense\n", r"line 2: 'nonsense' is neither a \[section\] nor a `key: value`"),
        ("[server]\nurl: a\nurl: b\n", r"\[server\]: url is set twice, in lines 2 and 3"),
        ("[server]\n[server]\n", r"\[server\] stands twice, in lines 1 and 2"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=said) as caught:
        config(text, tmp_path)
    assert str(tmp_path / "moonraker-obico.cfg") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nulr: x\n", "[server] ulr, line 2: this key is not known (did you mean 'url'?); ignored"),
        ("[moonracer]\n", "line 1: the section [moonracer] is not known (did you mean 'moonraker'?); ignored"),
        ("[webcam a]\nrotation: 45\n", "[webcam a] rotation, line 2: '45' is not 0, 90, 180 or 270; using 0"),
        ("[webcam]\nflip_h: maybe\n", "[webcam] flip_h, line 2: 'maybe' is neither true nor false; ignored"),
        ("[logging]\nlevel: LOUD\n", "[logging] level, line 2: 'LOUD' is none of"),
    ],
)
def test_what_has_a_safe_default_is_a_warning(text: str, said: str, tmp_path: Path) -> None:
    assert [warning for warning in config(text, tmp_path).warnings if said in warning]


def test_the_token_and_the_key_never_print(tmp_path: Path) -> None:
    read_in = config("[server]\nauth_token: abcdef0123\n[moonraker]\napi_key: topsecret\n", tmp_path)
    assert "abcdef0123" not in repr(read_in)
    assert "topsecret" not in repr(read_in)


def test_the_token_file_is_private_and_used(tmp_path: Path) -> None:
    token_path = config("[server]\n[moonraker]\n", tmp_path).token_path
    assert read_token(token_path) is None
    write_token(token_path, Secret("cafe0123"))
    assert token_path.stat().st_mode & 0o777 == 0o600
    assert config("[server]\n[moonraker]\n", tmp_path).token == Secret("cafe0123")
    # One in the configuration goes before it, and both may stand.
    assert config("[server]\nauth_token: beef4567\n", tmp_path).token == Secret("beef4567")
    assert [each.name for each in token_path.parent.iterdir()] == ["token"]


def test_a_token_file_of_rubbish_is_named(tmp_path: Path) -> None:
    write_token(config("", tmp_path).token_path, Secret("<html>"))
    with pytest.raises(ConfigInvalid, match="holds no token"):
        config("", tmp_path)


def test_the_data_folder_lies_beside_the_configuration_folder(tmp_path: Path) -> None:
    folder = tmp_path / "printer_data" / "config"
    folder.mkdir(parents=True)
    # Moonraker hands out what is in its config folder.
    assert default_data_dir(folder / "moonraker-obico.cfg") == tmp_path / "printer_data" / ".moonraker-obico"
    assert default_data_dir(tmp_path / "two.cfg") == tmp_path / ".two"
    assert config("[agent]\ndata_dir: there\n", tmp_path).data_dir == tmp_path / "there"


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="does not exist"):
        load(tmp_path / "none.cfg")
    with pytest.raises(ConfigInvalid, match="is a folder"):
        load(tmp_path)
    (tmp_path / "latin.cfg").write_bytes(b"[server]\nurl: http://b\xfccher.local\n")
    with pytest.raises(ConfigInvalid, match=r"line 2: not UTF-8"):
        load(tmp_path / "latin.cfg")
    (tmp_path / "big.cfg").write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigInvalid, match="larger than 256 kB"):
        load(tmp_path / "big.cfg")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_writing_a_value_leaves_everything_else_alone(newline: str) -> None:
    text = PUBLIC.replace("\n", newline)
    changed = with_value(text, "server", "url", "http://192.168.1.20:3334")
    assert changed == text.replace("url = https://app.obico.io", "url = http://192.168.1.20:3334")
    emptied = with_value(changed, "server", "auth_token", "")
    assert parse(emptied, "x")[0].entries["auth_token"].value == ""
    assert emptied.count("#") == text.count("#")


def test_writing_a_value_that_is_not_there_yet() -> None:
    assert with_value("[server]\n# here\n", "server", "url", "u") == "[server]\nurl: u\n# here\n"
    assert with_value("", "server", "url", "u") == "[server]\nurl: u\n"
    assert with_value("[a]\nb: c", "server", "url", "u") == "[a]\nb: c\n\n[server]\nurl: u\n"
    several = "[tunnel]\nurl_blacklist: a\n  b\n  c\nnext: d\n"
    assert with_value(several, "tunnel", "url_blacklist", "x") == "[tunnel]\nurl_blacklist: x\nnext: d\n"


def test_comments_inside_values_survive_parsing() -> None:
    (section,) = parse("[s]\nurl: http://h/#x ; y\n", "x")
    assert section.entries["url"].value == "http://h/#x ; y"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", PictureRules()),
        ("[agent]\nback_off: false\nupload_limit: 500\nwatch_cameras: yes\n", PictureRules(False, True, 500.0, True)),
        ("[agent]\nupload_limit: 0\n", PictureRules()),
    ],
)
def test_what_pictures_may_cost(tmp_path: Path, text: str, expected: PictureRules) -> None:
    assert config(f"[server]\n[moonraker]\n{text}", tmp_path).pictures == expected


def test_an_upload_limit_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="upload_limit, line 2: '3' is not kbit/s: 0, or 8 and more"):
        config("[agent]\nupload_limit: 3\n", tmp_path)


def test_faults_are_reported_only_where_both_settings_say_so(tmp_path: Path) -> None:
    dsn = "sentry_dsn: https://k3y@h/1\n"
    assert config(f"[misc]\n{dsn}", tmp_path).sentry_dsn is None
    assert config("[misc]\nsentry_opt: in\n", tmp_path).sentry_dsn is None
    found = config(f"[misc]\nsentry_opt: in\n{dsn}", tmp_path)
    assert found.sentry_dsn == Secret("https://k3y@h/1")
    assert "https://k3y@h/1" in found.secrets()
    assert "neither in nor out" in str(config(f"[misc]\nsentry_opt: maybe\n{dsn}", tmp_path).warnings)
