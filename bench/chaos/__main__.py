"""`python -m bench.chaos`: what was lost, doubled or wrong, one JSON line a figure; exit status 1 if anything was."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.chaos.week import run
from bench.report import figure

MOST_SHOWN = 40


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--days", type=float, default=7.0, help="of simulated time (default 7)")
    parser.add_argument("--seed", type=int, help="repeats a run; default: another one each time")
    parser.add_argument("--seconds", type=float, default=540.0, help="of real time at the most (default 540)")
    parser.add_argument("--verbose", action="store_true", help="show what agents and server log")
    args = parser.parse_args()
    if not args.verbose:
        logging.disable(logging.CRITICAL)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1, 10**6)
    print(f"chaos: {args.days:g} days, seed {seed}", file=sys.stderr)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        verdict = run(Path(folder), seed, args.days, args.seconds, say)
    for fault in verdict.faults[:MOST_SHOWN]:
        print(f"  {fault}", file=sys.stderr)
    for name, value in (
        ("prints", verdict.prints), ("events", verdict.events), ("troubles", sum(verdict.happened.values())),
        ("lost", len(verdict.lost)), ("doubled", len(verdict.doubled)), ("wrong_ends", len(verdict.wrong)),
        ("untimed", verdict.untimed),
    ):  # fmt: skip
        figure(f"chaos.{name}", value, "", seed=seed)
    figure("chaos.seconds", round(time.monotonic() - began, 1), "s", seed=seed)
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
