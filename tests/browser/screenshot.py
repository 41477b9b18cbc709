"""Takes docs/img/live.png for the README: `python -m tests.browser.screenshot [FILE]`.

The real server, three fake agents with drawn pictures, a real Chromium.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser.conftest import ARGS, CHROMIUM, link_agent, set_up
from tests.browser.pictures import draw
from tests.browser.server import ServerProcess
from tests.fakes.agent import idle_status, job_status

DEFAULT = Path(__file__).parents[2] / "docs" / "img" / "live.png"


def take(target: Path) -> None:
    """Write the picture of the live page to `target` (PNG, 1180 x 880 CSS pixels)."""
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
    ):
        server = ServerProcess(Path(folder)).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        context = browser.new_context(
            base_url=server.url,
            storage_state=set_up(browser, server),
            viewport={"width": 1180, "height": 880},
            locale="en-GB",
        )
        prusa, voron, ender = (link_agent(context, server, name) for name in ("Prusa MK4", "Voron 2.4", "Ender 3"))
        try:
            now = int(time.time())
            prusa.send_status(
                job_status(
                    name="vase_0.2mm_PLA.gcode", completion=63.2, print_time=7460, left=4320, layer=47, layers=74, z=9.4
                ),
                print_ts=now - 7460,
                event="PrintStarted",
            )
            paused = job_status(
                "Paused", name="lamp_shade.gcode", completion=31.7, print_time=2750, left=5900,
                layer=24, layers=74, z=7.3, nozzle=(178.0, 0.0), bed=(100.0, 100.0),
            )  # fmt: skip
            paused["temperatures"]["chamber"] = {"actual": 47.2, "target": None, "offset": 0}
            voron.send_status({**paused, "state": job_status()["state"]}, print_ts=now - 2750, event="PrintStarted")
            voron.send_status(paused, print_ts=now - 2750, event="PrintPaused")
            ender.send_status(job_status(name="hook_x4.gcode"), print_ts=now - 9000, event="PrintStarted")
            ender.send_status(job_status(name="hook_x4.gcode", print_time=5210), print_ts=now - 9000, event="PrintDone")
            ender.send_status(idle_status(), print_ts=-1)
            for agent, part, hue in ((prusa, 0.63, 18), (voron, 0.32, 205), (ender, 0.98, 96)):
                agent.post_picture(draw(browser, part, hue=hue))
            page = context.new_page()
            page.goto("/")
            expect(page.locator(".picture img:visible")).to_have_count(3)
            expect(page.get_by_role("row").filter(has_text="hook_x4")).to_contain_text("Finished")
            target.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=target)
        finally:
            for agent in (prusa, voron, ender):
                agent.close()
            browser.close()
            server.stop()


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
