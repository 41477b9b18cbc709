"""OpenCV and numpy live in the vision process alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "reference_server"
CHILD = PACKAGE / "detectors" / "child"
HEAVY = {"cv2", "numpy"}


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_child_imports_them_and_only_the_child_imports_the_child(path: Path) -> None:
    if CHILD not in path.parents:
        for name in _imported(path):
            assert name.split(".")[0] not in HEAVY
            assert not name.startswith("reference_server.detectors.child")


def test_a_detector_is_made_without_loading_them() -> None:
    program = (
        "import sys; from types import SimpleNamespace; from reference_server.detectors import make_eyes\n"
        "settings = SimpleNamespace(detector='builtin', ml_api_url=None, ml_api_token=None, detector_model=None)\n"
        "assert make_eyes(settings, lambda frame: '').detector.name == 'builtin-heuristics'\n"
        "print([name for name in ('cv2', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert (done.stdout, done.stderr) == ("[]\n", "")
