"""The pure modules of the page (format.js, state.js, socket.js), run where they run: in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.server import ServerProcess

DASH = "\N{EN DASH}"


@pytest.fixture(scope="module")
def blank(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    page = browser.new_page(base_url=server.url, locale="en-GB", timezone_id="Europe/Berlin")
    page.goto("/static/favicon.svg")
    yield page
    page.close()


def run(page: Page, module: str, name: str, *args: Any) -> Any:
    """`module`.`name`(*args); undefined and NaN arrive as None."""
    script = "async ([m, f, a]) => (await import(`/static/js/${m}.js`))[f](...a)"
    return page.evaluate(script, [module, name, list(args)])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, DASH),
        (-1, DASH),
        ("soon", DASH),
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3569, "59 min"),
        (3599, "1 h 00 min"),
        (11_100, "3 h 05 min"),
        (172_740, "47 h 59 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_duration(blank: Page, seconds: Any, words: str) -> None:
    assert run(blank, "format", "duration", seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, DASH), (0, "0.0 %"), (32.49, "32.4 %"), (99.99, "99.9 %"), (100, "100 %"), (140, "100 %"), (-3, "0.0 %")],
)
def test_percent_never_says_done_before_it_is(blank: Page, value: Any, words: str) -> None:
    assert run(blank, "format", "percent", value) == words


def test_countdown(blank: Page) -> None:
    assert [run(blank, "format", "countdown", s) for s in (7199, 249, 9, -5)] == ["1:59:59", "4:09", "0:09", "0:00"]


def test_heaters_in_a_makers_order_and_words(blank: Page) -> None:
    temperatures = {
        "chamber": {"actual": None, "target": None},
        "enclosure_left": {"actual": 31.6, "target": None},
        "bed": {"actual": 59.7, "target": 60},
        "tool1": {"actual": 24, "target": 0},
        "tool0": {"actual": 214.8, "target": 215},
        "broken": None,
    }
    shown = run(blank, "format", "heaters", temperatures)
    assert [(h["name"], h["text"]) for h in shown] == [
        ("Nozzle 1", "215 / 215 °C"),
        ("Nozzle 2", "24 °C, off"),
        ("Bed", "60 / 60 °C"),
        ("Enclosure left", "32 °C"),
    ]
    assert run(blank, "format", "heaters", {"extruder": {"actual": 20, "target": 0}})[0]["name"] == "Nozzle"
    assert run(blank, "format", "heaters", "rubbish") == []


def test_moments_are_told_in_the_readers_zone(blank: Page) -> None:
    now = 1_767_000_000_000  # 2025-12-29 09:20 UTC, 10:20 in Berlin
    assert run(blank, "format", "moment", "2025-12-29T08:05:00.000000Z", now) == "09:05"
    assert run(blank, "format", "moment", "2025-12-28T23:30:00Z", now) == "00:30"
    assert "28 Dec" in run(blank, "format", "moment", "2025-12-28T12:00:00Z", now)
    assert run(blank, "format", "moment", "never", now) == DASH


def state(text: str, **flags: bool) -> dict[str, Any]:
    return {"id": 1, "status": {"state": {"text": text, "flags": flags}}}


@pytest.mark.parametrize(
    ("printer", "kind", "may"),
    [
        ({"status": None}, "offline", ""),
        ({}, "offline", ""),
        (state("Operational", operational=True, ready=True), "ready", ""),
        (state("Printing", printing=True), "printing", "pause cancel"),
        (state("Printing from SD", printing=True), "printing", "pause cancel"),
        (state("Paused", paused=True), "paused", "resume cancel"),
        (state("Paused", paused=True, printing=True), "paused", "resume cancel"),  # OctoPrint 2.x (trap 12)
        (state("Pausing", printing=True, pausing=True), "busy", "cancel"),
        (state("Resuming", printing=True), "busy", "cancel"),
        (state("Starting", printing=True), "busy", "cancel"),
        (state("Cancelling", printing=True, cancelling=True), "busy", ""),
        (state("Finishing", printing=True, finishing=True), "busy", ""),
        (state("G-Code Downloading"), "busy", "cancel"),
        (state("Offline", closedOrError=True), "disconnected", ""),
        (state("Offline after error", closedOrError=True, error=True), "error", ""),
        (state("Error: MCU", error=True), "error", ""),
        (state("Detecting serial connection", closedOrError=True), "disconnected", ""),
        (state("Connecting", closedOrError=True), "busy", ""),
        (state("Something new"), "busy", ""),
    ],
)
def test_states_and_what_may_be_done(blank: Page, printer: Any, kind: str, may: str) -> None:
    assert run(blank, "state", "printerState", printer)["kind"] == kind
    allowed = run(blank, "state", "allowed", printer)
    assert " ".join(command for command in ("pause", "resume", "cancel") if allowed[command]) == may


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://behind.example:3334/media/snapshots/1/a.jpg?digest=x", "/media/snapshots/1/a.jpg?digest=x"),
        ("/media/a.jpg", "/media/a.jpg"),
        ("https://elsewhere.example/track.gif", None),
        ("/api/v1/printers/", None),
        ("/media/../api/v1/printers/", None),
        ("javascript:alert(1)", None),
        ("data:image/svg+xml,<svg/>", None),
        ("http://[", None),
        (7, None),
        (None, None),
    ],
)
def test_pictures_come_from_this_server_only(blank: Page, address: Any, shown: str | None) -> None:
    assert run(blank, "state", "mediaUrl", address, "http://127.0.0.1:3334/") == shown


def test_back_off_starts_within_a_second_and_is_capped(blank: Page) -> None:
    script = """async () => {
      const {backoff} = await import("/static/js/socket.js");
      return [0, 1, 5, 400].map((n) => [backoff(n, () => 0), backoff(n, () => 0.999999)].map(Math.round));
    }"""
    assert blank.evaluate(script) == [[50, 1000], [50, 2000], [50, 30_000], [50, 30_000]]


@pytest.mark.parametrize(
    ("agent", "tone", "final", "words"),
    [
        (None, "busy", None, "Pause sent. The printer has not confirmed it yet."),
        ({"state": "sent", "error": None}, "busy", None, "Pause sent. The printer has not confirmed it yet."),
        ({"state": "accepted"}, "busy", None, "Pause: accepted by the printer. Waiting until the print pauses."),
        ({"state": "done"}, "go", True, "Paused."),
        ({"state": "done", "text": "retracted 6.5 mm"}, "go", True, "Paused; retracted 6.5 mm"),
        (
            {"state": "done", "error": None, "text": "paused; retracted 6.5 mm, lifted 1.2 of 2.5 mm: axis limit"},
            "go", True, "Paused; retracted 6.5 mm, lifted 1.2 of 2.5 mm: axis limit",
        ),
        ({"state": "failed", "error": "Cold"}, "bad", True, "Pause failed. The printer says: Cold"),
        ({"state": "rejected", "error": "Busy"}, "bad", True, "Pause was refused. The printer says: Busy"),
        ({"state": "unknown"}, "warn", None, "Pause sent. No confirmation will come: watch the printer's state."),
    ],
)
def test_outcomes_of_a_command(blank: Page, agent: Any, tone: str, final: bool | None, words: str) -> None:
    outcome = run(blank, "view/commands", "outcomeOf", "pause", agent)
    assert (outcome["tone"], outcome.get("final"), outcome["text"]) == (tone, final, words)


def test_refusals_of_the_server(blank: Page) -> None:
    offline = run(blank, "view/commands", "refusal", "cancel", "printer offline")
    assert offline["text"] == "Cancel was not sent: the printer is offline."
    other = run(blank, "view/commands", "refusal", "cancel", "nothing is printing")
    assert other["text"] == "Cancel was not sent: nothing is printing."
