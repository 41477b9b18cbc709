"""Takes the server's pictures for README and docs: `python -m tests.browser.screenshot [FOLDER]`.

live.png, print.png (a past print with its time-lapse and what the failure watch decided) and alerts.png. The real
server, three fake agents with drawn pictures, a seeded history, a real Chromium.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from demo.history import seed_history
from tests.browser.conftest import ARGS, CHROMIUM, link_agent, set_up
from tests.browser.pictures import draw
from tests.browser.server import ServerProcess
from tests.fakes.agent import idle_status, job_status
from tests.unit.reference_server.live_server import wait_until

DEFAULT = Path(__file__).parents[2] / "docs" / "img"
BUILD_SECONDS = 120.0


def take(target: Path) -> None:
    """Write the pictures to the folder `target` (PNG, 1180 x 880 CSS pixels)."""
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
            target.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=target / "live.png")
            _past_print(page, context, server, target / "print.png")
            _alerts(page, context, server, target / "alerts.png")
        finally:
            for agent in (prusa, voron, ender):
                agent.close()
            browser.close()
            server.stop()


def _past_print(page: Page, context: BrowserContext, server: ServerProcess, target: Path) -> None:
    prints = seed_history(server.data_dir, [1])
    jobs = [context.request.get(f"/api/v1/prints/{number}/").json() for number in prints]
    failing = next(job for job in jobs if job["filename"] == "lamp_shade.gcode")
    wait_until(
        lambda: bool(context.request.get(f"/api/v1/prints/{failing['id']}/").json()["video_url"]), BUILD_SECONDS
    )
    page.goto(f"/#/prints/{failing['id']}")
    page.reload()
    shown = page.get_by_role("dialog", name="lamp_shade.gcode")
    expect(shown.locator("video")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=target)


def _alerts(page: Page, context: BrowserContext, server: ServerProcess, target: Path) -> None:
    csrf = next(c["value"] for c in context.cookies() if c.get("name") == "tsd_csrftoken")
    ways = (("apprise", "My phone", "ntfy://my-prints"), ("webhook", "Home Assistant", "http://192.168.1.20:8123/hook"))
    for kind, name, address in ways:
        made = context.request.post(
            f"{server.url}/api/v1/notification_channels/",
            data={"kind": kind, "name": name, "target": address}, headers={"X-CSRFToken": csrf},
        )  # fmt: skip
        assert made.ok, made.text()
    page.goto("/")
    page.get_by_role("button", name="Alerts").click()
    expect(page.get_by_role("dialog", name="Alerts")).to_contain_text("My phone")
    page.screenshot(path=target)


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
