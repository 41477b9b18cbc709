"""A printer's own web interface in a real Chromium, from the dashboard through server and agent: OctoPrint's page is
logged in to, lives, and takes an upload; Moonraker answers, and its web socket tells what happens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.processes import wait_for
from demo.rest import OWNER
from tests.e2e import rig

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
SECONDS = 30_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def open_web_interface(chromium: Any, printer: rig.Printer) -> Any:
    """Logs in to the dashboard, and clicks what opens the printer's web interface: its tab."""
    context = chromium.new_context(base_url=printer.server.url, locale="en-GB", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(SECONDS)
    logged_in = context.request.post("/api/v1/auth/login/", data={"name": OWNER, "password": rig.PASSWORD})
    assert logged_in.ok, logged_in.text()
    dashboard = context.new_page()
    dashboard.goto("/")
    with context.expect_page() as opened:
        dashboard.get_by_role("button", name=f"Open web interface of {printer.name}", exact=True).click()
    page = opened.value
    page.wait_for_url(lambda url: url.startswith("http://127.0.0.1:") and "/.obico/" not in url)
    assert not page.url.startswith(printer.server.url)
    return page


def test_the_printers_own_page_lives_in_a_browser(
    printer: rig.OctoPrintPrinter | rig.KlipperPrinter, chromium: Any
) -> None:
    page = open_web_interface(chromium, printer)
    try:
        if isinstance(printer, rig.OctoPrintPrinter):
            use_octoprint(page, printer)
        else:
            use_moonraker(page, printer)
    finally:
        page.context.close()


def use_octoprint(page: Any, printer: rig.OctoPrintPrinter) -> None:
    host = printer.host
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    # Whoever comes through the tunnel is not at home: OctoPrint asks for its own log-in.
    page.wait_for_selector("#login-user")
    page.fill("#login-user", host.setup.user)
    page.fill("#login-password", host.setup.password)
    page.click("#login-button")
    page.wait_for_selector("#navbar_show_settings", state="visible")
    page.wait_for_function("document.querySelector('#state_wrapper').innerText.includes('Operational')")
    assert [url for url in sockets if "/sockjs/" in url and url.endswith("/websocket")], sockets

    # What happens at the printer is seen at once, without a reload: by the web socket.
    host.upload("told-by-socket.gcode", b"G28\n")
    page.wait_for_function("document.querySelector('#files').innerText.includes('told-by-socket')")
    # And what is done on the page happens: cookies, CSRF token and a body in pieces.
    content = b"; from the page\n" + b"G4 P1\n" * 200_000
    page.set_input_files(
        "#gcode_upload", files=[{"name": "by-page.gcode", "mimeType": "text/plain", "buffer": content}]
    )
    stored = host.basedir / "uploads" / "by-page.gcode"
    wait_for(lambda: stored.exists() and stored.stat().st_size == len(content), 30, "the uploaded file")
    for name in ("by-page.gcode", "told-by-socket.gcode"):
        host.request("DELETE", f"/api/files/local/{name}")


MOONRAKER = """async () => {
  const info = await (await fetch("/server/info")).json();
  const socket = new WebSocket(`ws://${location.host}/websocket`);
  const told = [];
  window.told = told;
  await new Promise((done, failed) => { socket.onopen = done; socket.onerror = failed; });
  const answer = await new Promise((done) => {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.id === 7) done(message.result);
      else told.push(message);
    };
    const query = { objects: { extruder: ["target"] } };
    socket.send(JSON.stringify({ jsonrpc: "2.0", id: 7, method: "printer.objects.subscribe", params: query }));
  });
  return { state: info.result.klippy_state, target: answer.status.extruder.target };
}"""


SCRIPT = """async (script) => {
  const headers = { "Content-Type": "application/json" };
  return (await fetch("/printer/gcode/script", { method: "POST", headers, body: JSON.stringify({ script }) })).status;
}"""

TOLD = """(target) => told.some(
  ({ method, params }) => method === "notify_status_update" && params[0].extruder?.target === target,
)"""


def use_moonraker(page: Any, printer: rig.KlipperPrinter) -> None:
    page.goto(f"{page.url}server/info")
    found = page.evaluate(MOONRAKER)
    assert found["state"] == "ready"
    target = found["target"] + 30
    assert page.evaluate(SCRIPT, f"M104 S{target}") == 200
    page.wait_for_function(TOLD, arg=target)
    printer.klipper.call("/printer/gcode/script", script=f"M104 S{found['target']}")
