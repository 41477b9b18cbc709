"""The entries for KIAUH and KlipperScreen, against stand-ins for what those two give them. Neither program is run."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def module(name: str, **content: Any) -> None:
    made = types.ModuleType(name)
    for key, value in content.items():
        setattr(made, key, value)
    sys.modules[name] = made


def loaded(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.usefixtures("modules")
def test_kiauh_finds_one_extension_and_its_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As KIAUH 6 looks for it: metadata.json, the module that it names, the class in it."""

    class BaseExtension:
        def __init__(self, metadata: dict[str, Any]) -> None:
            self.metadata = metadata

    module("extensions")
    module("extensions.base_extension", BaseExtension=BaseExtension)
    folder = DEPLOY / "kiauh" / "obico_agents"
    metadata = json.loads((folder / "metadata.json").read_text())["metadata"]
    assert isinstance(metadata["index"], int)
    assert all(len(line) <= 53 for line in metadata["description"])
    found = loaded(folder / f"{metadata['module']}.py")
    classes = [each for _, each in inspect.getmembers(found, inspect.isclass) if issubclass(each, BaseExtension)]
    (ours,) = [each for each in classes if each is not BaseExtension]
    ran: list[list[str]] = []

    def run(words: list[str], **_options: Any) -> MagicMock:
        ran.append(words)
        return MagicMock(returncode=0)

    monkeypatch.setattr(found.subprocess, "run", run)
    extension: Any = ours(metadata)
    extension.install_extension()
    extension.update_extension()
    extension.remove_extension()
    script = str(DEPLOY.parent / "install.sh")
    assert ran == [
        ["sh", script], ["git", "-C", str(DEPLOY.parent), "pull", "--ff-only"], ["sh", script],
        ["sh", script, "--uninstall"],
    ]  # fmt: skip
    assert Path(script).exists()


@pytest.mark.usefixtures("modules")
def test_klipperscreens_panel_says_what_is_wrong() -> None:
    module("gi", require_version=lambda *_: None)
    module("gi.repository", GLib=MagicMock(), Gtk=MagicMock())
    module("ks_includes")
    module("ks_includes.screen_panel", ScreenPanel=object)
    panel = loaded(DEPLOY / "klipperscreen" / "obico.py")
    link = {"server": "http://s", "state": "needs you", "reason": "the token was revoked", "queued_events": 3}
    told = {"link": link, "cameras": [{"name": "", "problem": "no answer"}, {"name": "b", "problem": None}]}
    assert panel.lines(told) == [
        "Server: http://s", "Link: needs you", "the token was revoked", "3 events wait for the server",
        "Camera (unnamed): no answer",
    ]  # fmt: skip
    assert "does not run" in panel.lines(None)[0]
    unlinked = {"link": {"server": "http://s", "state": "not linked"}, "cameras": []}
    assert panel.lines(unlinked)[-1].endswith("moonraker-obico link")
    assert "panel: obico" in (DEPLOY / "klipperscreen" / "obico.conf").read_text()
