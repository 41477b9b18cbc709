"""The support bundle holds what helps, and no secret."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from agent_core.features.scrub import Scrubber
from agent_core.features.support_bundle import PART_LIMIT, build, tail, versions
from tests.fakes.secrets import ADDRESSES, API_KEY, CAMERA_PASSWORD, KEY_BODY, PLANTED, TOKEN

NOW = 1_800_000_000.0


def opened(bundle: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    text = "\n".join(f"INFO agent: {planted.text}\n" for planted in PLANTED) + "\n".join(ADDRESSES)
    log = tmp_path / "a.log"
    log.write_text(text)
    parts: dict[str, Any] = {
        "config.cfg": text, "log.txt": tail(log), "status.json": {"cameras": [each.text for each in PLANTED]},
        "names.json": {each.text: {"file": f"{each.text}.gcode"} for each in PLANTED}, "versions.json": versions(),
    }  # fmt: skip
    bundle = build(parts, Scrubber([TOKEN, API_KEY, CAMERA_PASSWORD], addresses=True), NOW)
    found = opened(bundle)
    assert set(found) == {"README.txt", *parts}
    for name, content in found.items():
        assert [each.kind for each in PLANTED if each.secret in content] == [], name
        assert not any(address in content for address in ADDRESSES)
    assert "made 2027-01-15 08:00 UTC" in found["README.txt"]
    assert "python" in found["versions.json"]
    assert found["log.txt"].count("INFO agent:") >= len(PLANTED) - 5  # what is indented below a secret goes with it


def test_the_end_of_a_long_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number:04}\n" for number in range(1000)))
    text = tail(log, 95)
    assert text == "".join(f"line {number:04}\n" for number in range(991, 1000))
    assert "cannot be read" in tail(tmp_path / "none.log")


def test_a_key_whose_beginning_was_cut_off_goes_too() -> None:
    text = f"{KEY_BODY}\n-----END RSA PRIVATE KEY-----\nafter it\n"
    found = opened(build({"log.txt": text}, Scrubber(), NOW))
    assert KEY_BODY not in found["log.txt"]
    assert "after it" in found["log.txt"]


def test_parts_are_bounded() -> None:
    found = opened(build({"log.txt": "word " * PART_LIMIT}, Scrubber(), NOW))
    assert len(found["log.txt"]) == PART_LIMIT
