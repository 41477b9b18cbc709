"""The files in deploy/ say what the program knows: options, paths, ports."""

from __future__ import annotations

import re
from pathlib import Path

from reference_server.config import SETTINGS, load_config

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def test_every_variable_in_them_is_a_setting() -> None:
    known = {setting.env for setting in SETTINGS}
    files = [path for path in DEPLOY.iterdir() if path.is_file()]
    for path in (*files, ROOT / "docs" / "operation.md"):
        found = set(re.findall(r"OBICO_SERVER_[A-Z_]+", path.read_text(encoding="utf-8")))
        assert found <= known, path.name


def test_they_name_the_default_port_and_the_upload_limit() -> None:
    config = load_config({}, {})
    for name in ("Dockerfile", "compose.yaml", "nginx.conf.example", "Caddyfile.example"):
        assert str(config.port) in (DEPLOY / name).read_text(encoding="utf-8"), name
    assert f"client_max_body_size {config.upload_limit_mb + 10}m" in (DEPLOY / "nginx.conf.example").read_text()
    assert f"max_size {config.upload_limit_mb + 10}MB" in (DEPLOY / "Caddyfile.example").read_text()


def test_the_image_gets_every_file_that_the_package_is_made_of() -> None:
    shown = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    needed = {line.split()[1].split("/")[0] for line in (ROOT / "MANIFEST.in").read_text().splitlines() if line}
    needed |= {word for line in (ROOT / "MANIFEST.in").read_text().splitlines() if line.startswith("include ")
               for word in line.split()[1:]}  # fmt: skip
    assert {f"!{name}" for name in needed | {"setup.py", "pyproject.toml", "agent_core"}} <= set(shown)
