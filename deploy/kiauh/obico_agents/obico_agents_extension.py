"""KIAUH's menu entry for our installer; KIAUH (version 6) gives the base class.

It is linked into KIAUH's folder, so that it finds the checkout that it belongs to (docs/klipper.md, "KIAUH").
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from extensions.base_extension import BaseExtension

CHECKOUT = Path(__file__).resolve().parents[3]


class ObicoAgentsExtension(BaseExtension):
    """Each entry runs install.sh in this terminal: it asks, and says what it does."""

    def install_extension(self, **_kwargs: Any) -> None:
        self._run()

    def update_extension(self, **_kwargs: Any) -> None:
        if subprocess.run(["git", "-C", str(CHECKOUT), "pull", "--ff-only"], check=False).returncode == 0:
            self._run()
        else:
            print(f"{CHECKOUT} could not be updated: see what git says above.")

    def remove_extension(self, **_kwargs: Any) -> None:
        self._run("--uninstall")

    def _run(self, *options: str) -> None:
        subprocess.run(["sh", str(CHECKOUT / "install.sh"), *options], check=False)
