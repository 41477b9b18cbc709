"""Moonraker's own opinion of what the installer gives it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from moonraker_obico.config import read
from moonraker_obico.install import texts
from moonraker_obico.install.look import look_at
from moonraker_obico.install.system import System
from moonraker_obico.install.units import Printer
from tests.e2e.moonraker import KEY_NEEDED, ROOT, MoonrakerHost, wait_until

pytestmark = pytest.mark.moonraker

# Its own updates would ask the internet, and there may be no system bus here.
NO_OTHERS = "[machine]\nprovider: none\n[update_manager]\nenable_system_updates: False\nenable_auto_refresh: False\n"


def ask(host: MoonrakerHost, path: str, key: str) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{host.port}{path}", headers={"X-Api-Key": key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["result"]


def test_it_takes_the_section_without_a_word(tmp_path: Path) -> None:
    """The include line, the section and the allowed service: no warning, no failed component, an app to be updated.

    This Moonraker wants an API key even of its own machine: nobody has to type it, its owner gets it by its own socket.
    """
    upstream, place = tmp_path / "upstream", tmp_path / "obico"
    (upstream / "moonraker_obico" / "install").mkdir(parents=True)
    (upstream / texts.REQUIREMENTS).write_text((ROOT / texts.REQUIREMENTS).read_text())
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    work = ["-C", str(upstream)]
    for words in ([*work, "init", "-q"], [*work, "add", "-A"], [*work, "commit", "-qm", "all"],
                  ["clone", "-q", str(upstream), str(place)]):  # fmt: skip
        subprocess.run([*git, *words], check=True, stdout=subprocess.DEVNULL)
    section = texts.update_section(
        texts.Checkout(str(place), str(upstream), "main"), str(ROOT / ".venvs" / "agent"), texts.version("0.11.0")
    )
    assert section is not None
    host = MoonrakerHost(authorization=KEY_NEEDED, extra=NO_OTHERS)
    data = host.folder / "data"
    conf = data / "config" / "moonraker.conf"
    conf.write_text(texts.with_include(conf.read_text(), texts.UPDATE_FILE))
    (conf.with_name(texts.UPDATE_FILE)).write_text(section)
    (data / "moonraker.asvc").write_text(texts.with_line("klipper_mcu\n", texts.SERVICE))
    with host:
        seen = look_at(System(home=host.folder), Printer(data), alone=True)
        assert (seen.host, seen.port, seen.answers, seen.prints) == ("127.0.0.1", host.port, True, False)
        assert seen.key is not None
        key = seen.key.reveal()
        assert key not in repr(seen)
        text = texts.agent_config(seen.host, host.port, "/x.log", key)
        assert read(text, data / "config" / "moonraker-obico.cfg", {}).api_key == seen.key
        found: dict[str, Any] = {}

        def known() -> bool:
            found.update(ask(host, "/machine/update/status", key)["version_info"])
            return texts.SERVICE in found

        wait_until(known, 40.0, "Moonraker looks after the agent")
        info = ask(host, "/server/info", key)
        # The stand-in Klippy has no folder of examples, which Moonraker remarks.
        ours = [text for text in info["warnings"] if "update_manager" in text or "obico" in text]
        assert (ours, info["failed_components"]) == ([], [])
        assert found[texts.SERVICE]["configured_type"] == "git_repo"
        assert found[texts.SERVICE]["channel"] == "dev"

