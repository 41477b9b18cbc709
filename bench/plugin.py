"""What the plugin adds: OctoPrint without and with it, in turns, each printing with a camera; the difference is ours.

Two starts of the same OctoPrint differ by several MB, so the medians of some starts are compared.
"""

from __future__ import annotations

from statistics import median

from bench import proc
from bench.octoprint import octoprint_rig
from bench.report import figure

STARTS = 3
"""Of each kind."""

SETTLE_SECONDS = 30.0
SECONDS = 60.0


def run() -> None:
    bare: list[proc.Cost] = []
    ours: list[proc.Cost] = []
    for _ in range(STARTS):
        for with_plugin, costs in ((False, bare), (True, ours)):
            with octoprint_rig(with_plugin=with_plugin, print_file=True) as rig:
                proc.watch(rig.host.pid, SETTLE_SECONDS)
                costs.append(proc.watch(rig.host.pid, SECONDS))
    memory, memory_before = median(cost.rss_mb for cost in ours), median(cost.rss_mb for cost in bare)
    threads, threads_before = median(cost.threads for cost in ours), median(cost.threads for cost in bare)
    cpu, cpu_before = median(cost.cpu_percent for cost in ours), median(cost.cpu_percent for cost in bare)
    spread = max(cost.rss_mb for cost in bare) - min(cost.rss_mb for cost in bare)
    figure("octoprint_plugin.rss_added", memory - memory_before, "MB", baseline_mb=round(memory_before, 1),
           baseline_spread_mb=round(spread, 1))  # fmt: skip
    figure("octoprint_plugin.threads_added", threads - threads_before, "", baseline=threads_before)
    figure("octoprint_plugin.cpu_added_printing", cpu - cpu_before, "% of a core", baseline=round(cpu_before, 2))
