"""What the installer did to this host, in one file of the user's home: what --uninstall needs to leave it as it was.

It is written *before* what it tells of is done, so that a power cut leaves nothing unknown.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from moonraker_obico.install.system import read, remove, write

NAME = ".moonraker-obico-install.json"


@dataclass(slots=True)
class Kept:
    """A file as it was before the first installation. `before` None: there was none. `after`: what was written last."""

    before: str | None
    mode: int
    after: str = ""


@dataclass(slots=True)
class Record:
    path: Path
    venv: str = ""
    venv_ready: bool = False
    """False while it is being made: what a power cut left is made anew."""
    source: str = ""
    """What is installed: a checkout's path, or a package's file."""
    revision: str = ""
    """Its commit, or the package's digest."""
    files: dict[str, Kept] = field(default_factory=dict)
    disabled: list[str] = field(default_factory=list)
    """Another agent's units, enabled before, that were switched off for this one."""
    enabled_before: list[str] = field(default_factory=list)
    """Another agent's units that bear our own's name, were enabled, and were written over."""

    @classmethod
    def load(cls, home: Path) -> Record:
        """An empty one if there is none or it cannot be read: all that is ours is marked as such. Raises Trouble."""
        path = home / NAME
        text = read(path)
        try:
            told = json.loads(text) if text else {}
            files = {name: Kept(**kept) for name, kept in told.pop("files", {}).items()}
            return cls(path, **told, files=files)
        except (ValueError, TypeError, AttributeError):
            return cls(path)

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def save(self) -> None:
        """Raises Trouble."""
        told = asdict(self)
        told.pop("path")
        text = json.dumps(told, indent=1, sort_keys=True) + "\n"
        if read(self.path) != text:
            write(self.path, text, 0o600)

    def forget(self) -> None:
        """Raises Trouble."""
        remove(self.path)

    def keep(self, path: Path, before: str | None, mode: int, after: str) -> None:
        """The first `before` counts: that of a second installation is our own work."""
        known = self.files.get(str(path))
        if known is None:
            self.files[str(path)] = Kept(before, mode, after)
        else:
            known.after = after
