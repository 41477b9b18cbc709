"""`python -m agent_core.gcode FILE INDEX`: makes the index of a G-code file, in a process of its own.

An agent lives in the printer's host, sometimes in the very process that feeds the printer: reading a large file there
would hold that up. This one is as nice as can be, and has bounds of its own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

from agent_core.gcode.index import PIECE, GCodeIndexer

MOST_MEMORY = 512 * 1024 * 1024
"""Bytes of address space; some tens of MB are used."""

MOST_SECONDS = 900
"""Of processor time: half a gigabyte on the slowest host takes a third of it."""


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 with the reason on standard error; INDEX is written whole or not at all."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m agent_core.gcode FILE INDEX\n")
        return 2
    with contextlib.suppress(OSError):
        os.nice(19)
    for limit, value in ((resource.RLIMIT_AS, MOST_MEMORY), (resource.RLIMIT_CPU, MOST_SECONDS)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))
    source, target = Path(arguments[0]), Path(arguments[1])
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        indexer = GCodeIndexer()
        with source.open("rb") as file:
            while piece := file.read(PIECE):
                indexer.feed(piece)
        partial.write_bytes(indexer.finish().to_bytes())
        partial.replace(target)
    except (OSError, MemoryError) as error:
        sys.stderr.write(f"{error}\n")
        partial.unlink(missing_ok=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
