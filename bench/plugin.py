"""What the plugin adds: OctoPrint without and with it, one after the other, both printing with a camera; the
difference is ours.
"""

from __future__ import annotations

from bench import proc
from bench.octoprint import octoprint_rig
from bench.report import figure

SETTLE_SECONDS = 30.0
SECONDS = 60.0


def run() -> None:
    costs = []
    for with_plugin in (False, True):
        with octoprint_rig(with_plugin=with_plugin, print_file=True) as rig:
            proc.watch(rig.host.pid, SETTLE_SECONDS)
            costs.append(proc.watch(rig.host.pid, SECONDS))
    bare, ours = costs
    figure("octoprint_plugin.rss_added", ours.rss_mb - bare.rss_mb, "MB", baseline_mb=round(bare.rss_mb, 1))
    figure("octoprint_plugin.threads_added", ours.threads - bare.threads, "", baseline=bare.threads)
    figure(
        "octoprint_plugin.cpu_added_printing", ours.cpu_percent - bare.cpu_percent, "% of a core",
        baseline=round(bare.cpu_percent, 2),
    )  # fmt: skip
