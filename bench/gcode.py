"""The G-code index on files of 500 MB, as three kinds of slicers write them; made on the fly, never on the disk."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator

from agent_core.gcode.index import PIECE, GCodeIndexer
from bench.report import figure

SIZE = 500_000_000  # bytes
MOVES = 20_000  # of a layer

HEADS = {
    "prusaslicer": ";LAYER_CHANGE\n;Z:{z:.2f}\n;HEIGHT:0.2\nG1 Z{z:.2f} F9000\n",
    "cura": ";LAYER:{number}\nG0 F9000 X1 Y1 Z{z:.2f}\n",
    "no_comments": "G1 Z{z:.2f} F9000\n",
}


def run() -> None:
    for style, head in HEADS.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        indexer = GCodeIndexer()
        seconds = 0.0
        for piece in _pieces(head):
            begin = time.perf_counter()
            indexer.feed(piece)
            seconds += time.perf_counter() - begin
        found = indexer.finish()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        figure(f"gcode_index.{style}", seconds, "s", megabytes=SIZE // 1_000_000, layers=found.layer_count,
               memory_mb=round(grown, 1))  # fmt: skip


def _pieces(head: str) -> Iterator[bytes]:
    chance = random.Random(1)
    moves = "\n".join(
        f"G1 X{chance.uniform(0, 200):.3f} Y{chance.uniform(0, 200):.3f} E.{chance.randint(1000, 99999):05}"
        for _ in range(MOVES)
    )
    sent, number, waiting = 0, 0, b""
    while sent < SIZE:
        number += 1
        waiting += (head.format(z=number * 0.2, number=number) + moves + "\n").encode()
        while len(waiting) >= PIECE:
            piece, waiting = waiting[:PIECE], waiting[PIECE:]
            sent += len(piece)
            yield piece
