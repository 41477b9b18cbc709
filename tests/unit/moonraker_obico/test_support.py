"""`moonraker-obico support-bundle`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from moonraker_obico.__main__ import main
from moonraker_obico.cli import exit_codes
from tests.fakes.secrets import PLANTED, TOKEN


def test_the_bundle_has_everything_but_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, log = tmp_path / "moonraker-obico.cfg", tmp_path / "agent.log"
    planted = "\n".join(f"# {each.text}".replace("\n", "\n# ") for each in PLANTED)
    path.write_text(
        f"[server]\nurl: http://127.0.0.1:9\nauth_token: {TOKEN}\n[moonraker]\nport: 9\napi_key: 0ddba11feed\n"
        f"[webcam]\nsnapshot_url: http://me:gr33nhouse@127.0.0.1:9/x\n[logging]\npath: {log}\n{planted}\n"
    )
    for written in (log, Path(f"{log}.1")):
        written.write_text("\n".join(f"INFO agent: {each.text}" for each in PLANTED) + "\nthe end\n")
    assert main(["support-bundle", "-c", str(path), "-o", str(tmp_path)]) == exit_codes.OK
    said = capsys.readouterr().out
    (bundle,) = tmp_path.glob("moonraker-obico-support-*.zip")
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert str(bundle) in said
    with zipfile.ZipFile(bundle) as file:
        found = {name: file.read(name).decode() for name in file.namelist()}
    for name, content in {**found, "said": said}.items():
        assert [each.kind for each in PLANTED if each.secret in content] == [], name
    assert set(found) == {
        "README.txt", "versions.json", "doctor.json", "status.json", "moonraker-obico.cfg", "moonraker-obico.log",
        "moonraker-obico.log.1",
    }  # fmt: skip
    assert "url: http://127.0.0.1:9" in found["moonraker-obico.cfg"]
    assert found["moonraker-obico.log"].endswith("the end\n")
    assert {each["subject"] for each in json.loads(found["doctor.json"])} >= {"config", "server", "moonraker", "camera"}


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "moonraker-obico.cfg"
    path.write_text(f"[server]\nurl: http://127.0.0.1:9\n[moonraker]\nport: 9\n[logging]\npath: {tmp_path}/x.log\n")
    assert main(["support-bundle", "-c", str(path), "-o", str(tmp_path / "no" / "x.zip")]) == exit_codes.PROBLEM
    assert "name another place with --output" in capsys.readouterr().out
