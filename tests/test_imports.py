"""Holds every arrow of docs/architecture.md: who may import whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("agent_core", "octoprint_obico", "moonraker_obico", "reference_server", "demo", "bench")

# A package or module (longest prefix wins) -> the prefixes of ours that it may import, beside itself.
ARROWS: dict[str, tuple[str, ...]] = {
    "agent_core": ("agent_core",),
    "agent_core.wire": ("agent_core.wire",),
    "agent_core.gcode": ("agent_core.gcode",),
    "agent_core.model": (),
    "agent_core.errors": (),
    "agent_core.pause": ("agent_core.errors", "agent_core.model", "agent_core.pause"),
    "agent_core.reducer": ("agent_core.model", "agent_core.wire"),
    "agent_core.payload": ("agent_core.model", "agent_core.reducer", "agent_core.config", "agent_core.wire"),
    "agent_core.session": ("agent_core.wire", "agent_core.outbox"),
    "agent_core.runtime.worker": (),
    "octoprint_obico": ("octoprint_obico", "agent_core"),
    "moonraker_obico": ("moonraker_obico", "agent_core"),
    "reference_server": ("reference_server", "agent_core.wire", "agent_core.gcode"),
    "reference_server.services": ("reference_server.services", "agent_core.wire", "agent_core.gcode"),
    "demo.farm": ("demo", "agent_core.gcode"),
    "demo.farm.printer": (),
    "reference_server.store": ("reference_server.store", "reference_server.services"),
    "reference_server.client": ("reference_server.client", "agent_core.wire.version"),
}

# Third-party modules that a part must not know.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "agent_core": ("octoprint", "moonraker", "fastapi", "sqlalchemy", "flask", "tornado"),
    "agent_core.wire": ("requests", "urllib3", "websocket", "sqlite3"),
    "agent_core.gcode": ("requests", "urllib3", "websocket", "sqlite3"),
    "moonraker_obico": ("octoprint", "moonraker", "fastapi", "sqlalchemy", "flask"),
    "octoprint_obico": ("moonraker", "fastapi", "sqlalchemy"),
    "reference_server.client": ("fastapi", "starlette", "sqlalchemy", "uvicorn", "pydantic"),
    "reference_server.services": ("fastapi", "starlette", "sqlalchemy", "uvicorn", "sqlite3"),
}

STDLIB_ONLY = ("agent_core.wire", "agent_core.gcode", "agent_core.model", "agent_core.errors", "agent_core.pause",
               "agent_core.reducer", "agent_core.payload", "agent_core.session")  # fmt: skip

# Imported late, and only there: importing `requests` costs the Moonraker agent 5 of its 32 MB.
LATE_ONLY = ("requests", "cv2", "numpy", "sentry_sdk")


def _modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield dotted.removesuffix(".__init__"), path


MODULES = dict(_modules())


def _imports(path: Path, module: str) -> Iterator[tuple[str, bool]]:
    """Each imported name, and whether it is imported when the module is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in late
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield (full if full in MODULES else base), node not in late


def _under(name: str, prefix: str) -> bool:
    # `agent_core.pause` also covers its siblings pause_record, pause_klipper, …
    return name == prefix or name.startswith((prefix + ".", prefix + "_")) if "." in prefix else (
        name == prefix or name.startswith(prefix + "."))  # fmt: skip


def _rule(module: str, rules: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    matching = [prefix for prefix in rules if _under(module, prefix)]
    return rules[max(matching, key=len)] if matching else None


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_allowed_arrows(module: str) -> None:
    allowed = _rule(module, ARROWS)
    for name, _ in _imports(MODULES[module], module):
        if name.split(".")[0] in PACKAGES and allowed is not None:
            same = _under(name, module) or name == module.rpartition(".")[0]
            assert same or any(_under(name, prefix) for prefix in allowed), f"{module} must not import {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_forbidden_library(module: str) -> None:
    forbidden = {word for prefix, words in FORBIDDEN.items() if _under(module, prefix) for word in words}
    for name, _ in _imports(MODULES[module], module):
        assert name.split(".")[0] not in forbidden, f"{module} must not import {name}"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if any(_under(name, p) for p in STDLIB_ONLY)))
def test_pure_modules_use_the_standard_library_only(module: str) -> None:
    for name, _ in _imports(MODULES[module], module):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top == "agent_core", f"{module} imports {name}"


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if name.split(".")[0] in {"agent_core", "moonraker_obico"})
)
def test_heavy_libraries_are_imported_late(module: str) -> None:
    for name, at_start in _imports(MODULES[module], module):
        assert not (at_start and name.split(".")[0] in LATE_ONLY), f"{module} imports {name} when it is loaded"


def test_the_api_goes_to_the_store_through_the_services_only() -> None:
    for module, path in MODULES.items():
        if _under(module, "reference_server.api"):
            for name, _ in _imports(path, module):
                assert not _under(name, "reference_server.store"), f"{module} goes past the services to {name}"


def test_the_host_packages_do_not_know_each_other() -> None:
    for module, path in MODULES.items():
        for name, _ in _imports(path, module):
            assert not (_under(module, "octoprint_obico") and _under(name, "moonraker_obico"))
            assert not (_under(module, "moonraker_obico") and _under(name, "octoprint_obico"))
