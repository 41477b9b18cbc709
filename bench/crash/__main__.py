"""`python -m bench.crash --kills 300`: what was printed twice, lost or told wrong, one JSON line a figure; exit status
1 if anything was. The same seed kills the same things at the same intervals; what they were doing then is the machine's
choice.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from bench.crash.run import Options, run
from bench.report import figure
from demo.processes import Trouble

MOST_SHOWN = 40


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.crash", description=__doc__)
    add = parser.add_argument
    add("--kills", type=int, default=300, help="of server and agents (default 300)")
    add("--jobs", type=int, default=100, help="in the queue, each of 1 to 3 copies (default 100)")
    add("--printers", type=int, default=10, help="simulated, each with an agent (default 10)")
    add("--pause", type=float, default=0.7, help="mean seconds between two kills (default 0.7)")
    add("--seed", type=int, help="repeats the choices of a run; default: other ones each time")
    add("--keep", action="store_true", help="leave the folder with logs and database")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1, 10**6)
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    say(f"crash: {args.kills} kills, {args.jobs} jobs, {args.printers} printers, seed {seed}, in {folder}")
    options = Options(seed, args.kills, args.jobs, args.printers, pause=args.pause)
    try:
        outcome = run(folder, options, say)
    except Trouble as trouble:
        say(str(trouble))
        return 1
    verdict = outcome.verdict
    for fault in verdict.faults[:MOST_SHOWN]:
        say(f"  {fault}")
    for reason, count in verdict.reasons.most_common(MOST_SHOWN):
        say(f"  failed {count} times: {reason}")
    for name, value in (
        ("kills_of_server", outcome.kills["server"]), ("kills_of_agents", outcome.kills["agent"]),
        ("jobs", verdict.jobs), ("copies", verdict.copies), ("printed_once", verdict.printed),
        ("reported_failed", verdict.failed), ("failed_but_printed", verdict.unseen), ("printed_twice", verdict.twice),
        ("lost", verdict.lost), ("events", verdict.events), ("told", verdict.told), ("refused", verdict.refused),
        ("told_again", verdict.repeats), ("faults", len(verdict.faults)),
    ):  # fmt: skip
        figure(f"crash.{name}", value, "", seed=seed)
    figure("crash.seconds", round(outcome.seconds, 1), "s", seed=seed)
    if args.keep or verdict.faults:
        say(f"logs and database are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
