"""The texts that the installer writes, and its few lines in files that are somebody else's. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "# Made by moonraker-obico's installer"
"""The first line of each file that is the installer's own; what bears it may be replaced and removed."""

SERVICE = "moonraker-obico"
"""The unit's and the update manager's name: Moonraker allows its restart by default."""

UPDATE_FILE = "moonraker-obico-update.cfg"
MACRO_FILE = "obico_macros.cfg"
CONFIG_FILE = "moonraker-obico.cfg"

REQUIREMENTS = "moonraker_obico/install/requirements.txt"

_HEADER = re.compile(r"\s*\[(?P<name>[^\]]+)\]\s*(?:[#;].*)?$")
_DEV = re.compile(r"v?(\d+)\.(\d+)")


def include_line(name: str) -> str:
    return f"[include {name}]"


def has_include(text: str, name: str) -> bool:
    """Whether a configuration (Moonraker's or Klipper's) includes the file of that name."""
    return any(_is_include(line, name) for line in text.splitlines())


def with_include(text: str, name: str) -> str:
    """The include line at the end: Moonraker reads an include where it stands, and a section goes on until the next."""
    if has_include(text, name):
        return text
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}\n{include_line(name)}\n" if text.strip() else f"{text}{gap}{include_line(name)}\n"


def without_include(text: str, name: str) -> str:
    """Without that line, and without the empty one that `with_include` put before it."""
    lines = text.splitlines(keepends=True)
    kept: list[str] = []
    for line in lines:
        if not _is_include(line, name):
            kept.append(line)
        elif kept and not kept[-1].strip():
            kept.pop()
    return "".join(kept)


def _is_include(line: str, name: str) -> bool:
    header = _HEADER.match(line)
    return header is not None and header["name"].split() == ["include", name]


def with_line(text: str, line: str) -> str:
    """One more line of a list (moonraker.asvc); `.service` at its end makes no difference."""
    if line in (entry.strip().removesuffix(".service") for entry in text.splitlines()):
        return text
    return text + ("" if not text or text.endswith("\n") else "\n") + line + "\n"


def without_line(text: str, line: str) -> str:
    return "".join(entry for entry in text.splitlines(keepends=True) if entry.strip().removesuffix(".service") != line)


def section_value(text: str, section: str, key: str) -> str | None:
    """A value of a configuration file, None if it is not there; comments behind it are left out."""
    here = False
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header is not None:
            here = " ".join(header["name"].split()) == section
        elif here and line[:1] not in ("#", ";", " ", "\t"):
            name, separator, value = line.replace("=", ":", 1).partition(":")
            if separator and name.strip().lower() == key:
                return re.split(r"(?:^|\s)[#;]", value, maxsplit=1)[0].strip() or None
    return None


def address(conf: str) -> tuple[str, int | None]:
    """Where Moonraker is reached from its own host, by its moonraker.conf; the port None if that does not tell."""
    host = section_value(conf, "server", "host") or "0.0.0.0"
    if host.lower() in {"0.0.0.0", "::", "all", "localhost"}:
        host = "127.0.0.1"
    port = section_value(conf, "server", "port")
    return host, int(port) if port is not None and port.isdigit() and 0 < int(port) < 65536 else None


def agent_config(host: str, port: int, log: str, key: str | None = None) -> str:
    """A configuration for a printer that has none; `key` only where Moonraker wants one."""
    api_key = "" if key is None else f"api_key: {key}\n"
    return (
        f"{MARK}. Every setting is explained in config.example.ini.\n\n"
        f"[server]\n# The server is asked for when the printer is linked.\nurl:\n\n"
        f"[moonraker]\nhost: {host}\nport: {port}\n{api_key}\n"
        f"[logging]\n# At 1 MB a new file is begun, and one older one is kept.\npath: {log}\n"
    )


# --- the update manager -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkout:
    """A git checkout that the agent runs from; `origin` is where it was cloned from."""

    path: str
    origin: str
    branch: str


@dataclass(frozen=True, slots=True)
class Package:
    """The agent installed by pip from a git repository at GitHub, which Moonraker can ask for releases."""

    project: str


def version(text: str) -> tuple[int, int]:
    """(major, minor) of what Moonraker calls its version, `v0.8.0-12-gabc` or `0.11.0`; what cannot be read is new."""
    found = _DEV.match(text)
    return (int(found[1]), int(found[2])) if found else (99, 0)


def update_section(source: Checkout | Package, venv: str, moonraker: tuple[int, int]) -> str | None:
    """The update manager's section; None where this Moonraker knows none of that kind.

    Moonraker 0.9 brought `virtualenv` for `env`, and the type `python` (its changelog; configuration.md, "Extension
    configuration"). `requirements` goes with either: it is what makes `git_repo` look at the environment at all.
    """
    head = f"{MARK}; included by moonraker.conf.\n[update_manager {SERVICE}]\n"
    if isinstance(source, Package):
        if moonraker < (0, 9):
            return None
        return (
            f"{head}type: python\nchannel: stable\nproject_name: {source.project}\nvirtualenv: {venv}\n"
            f"managed_services: {SERVICE}\n"
        )
    python = f"virtualenv: {venv}" if moonraker >= (0, 9) else f"env: {venv}/bin/python"
    return (
        f"{head}type: git_repo\npath: {source.path}\norigin: {source.origin}\nprimary_branch: {source.branch}\n"
        f"{python}\nrequirements: {REQUIREMENTS}\nmanaged_services: {SERVICE}\n"
    )


# --- running from a checkout ------------------------------------------------------------------------------------------


def launcher(python: str) -> str:
    """The command `moonraker-obico` of an environment that runs our code from a checkout."""
    return (
        f"#!{python}\n{MARK}.\nimport sys\n\nfrom moonraker_obico.__main__ import main\n\n"
        'if __name__ == "__main__":\n    sys.exit(main())\n'
    )
