"""The live page: statuses and pictures move, commands ask first and tell their outcome, loss is shown as loss."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.conftest import Complaints, link_agent, set_up
from tests.browser.pictures import draw
from tests.browser.server import ServerProcess
from tests.fakes.agent import FakeAgent, idle_status, job_status

TS = 1_767_000_000
DASH = "\N{EN DASH}"
Link = Callable[..., FakeAgent]


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def printing(agent: FakeAgent, text: str = "Printing", ts: int = TS, **facts: Any) -> None:
    agent.send_status(job_status(text, **facts), print_ts=ts)


def test_status_of_a_print_in_words_a_maker_understands(page: Page, link: Link) -> None:
    agent = link("Voron")
    page.goto("/")
    shown = card(page, "Voron")
    agent.send_status(
        job_status(completion=32.46, print_time=1800, left=5400, layer=31, layers=96, z=6.2),
        print_ts=TS,
        event="PrintStarted",
    )
    for words in ("Printing", "benchy.gcode", "32.4 %", "30 min", "1 h 30 min", "31 / 96", "6.20 mm"):
        expect(shown.get_by_text(words, exact=True)).to_be_visible()
    expect(shown.get_by_role("list", name="Temperatures")).to_contain_text("215 / 215 °C")
    expect(shown.get_by_role("list", name="Temperatures")).to_contain_text("60 / 60 °C")
    expect(shown.get_by_role("list", name="Temperatures")).not_to_contain_text("Chamber")
    expect(shown.get_by_role("progressbar")).to_have_attribute("value", "32.46")
    expect(shown.locator(".since")).to_contain_text("Online since")
    expect(shown.locator(".event")).to_contain_text("Print started")
    expect(page.locator("#summary")).to_have_text("1 printing")
    running = page.get_by_role("row").filter(has_text="benchy.gcode")
    expect(running).to_contain_text("Voron")
    expect(running).to_contain_text("Running")

    agent.send_status(job_status(completion=100), print_ts=TS, event="PrintDone")
    agent.send_status(idle_status(), print_ts=-1)
    expect(shown.get_by_text("Ready", exact=True)).to_be_visible()
    expect(shown.get_by_role("progressbar")).to_be_hidden()
    expect(running).to_contain_text("Finished")


def test_unknown_and_missing_figures_are_dashes_not_errors(page: Page, link: Link) -> None:
    agent = link("Voron")
    page.goto("/")
    printing(agent, completion=None, print_time=None, left=None, layer=None, layers=None, z=None)
    shown = card(page, "Voron")
    expect(shown.locator(".facts dd")).to_have_text([DASH, DASH, DASH, DASH])
    expect(shown.locator(".percent")).to_have_text(DASH)
    agent.send_status({"_ts": time.time(), "state": {"text": "Printing", "flags": {"printing": True}}}, print_ts=TS)
    expect(shown.get_by_role("list", name="Temperatures")).to_be_hidden()
    expect(shown.get_by_text("Printing", exact=True)).to_be_visible()


def test_pictures_arrive_by_themselves_with_their_age(page: Page, link: Link, browser: Browser) -> None:
    agent = link("Voron")
    page.goto("/")
    shown = card(page, "Voron")
    expect(shown.get_by_text("No picture yet")).to_be_visible()
    printing(agent)
    agent.post_picture(draw(browser, 0.2))
    picture = shown.get_by_role("img", name=re.compile("^Camera picture of Voron, taken at "))
    expect(picture).to_be_visible()
    expect(shown.locator(".age")).to_have_text(re.compile(r"^(just now|\d+ s ago)$"))
    before = picture.get_attribute("src")
    agent.post_picture(draw(browser, 0.6))
    expect(picture).not_to_have_attribute("src", before or "")
    assert picture.evaluate("img => img.complete && img.naturalWidth") == 960


def test_pause_asks_sends_the_settings_and_tells_the_outcome(page: Page, link: Link) -> None:
    agent = link("Voron", acks=("accepted",))
    page.goto("/")
    printing(agent)
    shown = card(page, "Voron")
    pause = shown.get_by_role("button", name="Pause the print on Voron")
    pause.click()
    question = page.get_by_role("dialog", name="Pause Voron?")
    expect(question).to_contain_text("pulls the filament back 6.5 mm, lifts the head 2.5 mm")
    expect(question).to_contain_text("nozzle heater off")
    expect(question).to_contain_text("The bed stays hot.")
    question.get_by_role("button", name="Keep printing").click()
    expect(question).to_be_hidden()

    pause.click()
    question.get_by_role("button", name="Pause", exact=True).click()
    command = agent.wait_for_command("pause")
    assert command["args"]["retract"] == 6.5
    assert command["args"]["lift_z"] == 2.5
    assert command["args"].get("tools_off") is True
    assert not command["args"].get("bed_off")
    assert command["initiator"] == "web"
    assert sum(len(frame.get("commands", ())) for frame in agent.received) == 1, "no means no"
    expect(shown.get_by_role("status")).to_contain_text("accepted by the printer")
    expect(pause).to_be_disabled()
    expect(shown.get_by_role("button", name="Cancel the print")).to_be_enabled()

    printing(agent, "Pausing")
    expect(shown.get_by_text("Pausing", exact=True)).to_be_visible()
    agent.ack(command, "done", text="paused; retracted 6.5 mm; lifted 1.2 of 2.5 mm: axis limit")
    printing(agent, "Paused", nozzle=(180, 0))
    told = "Paused; retracted 6.5 mm; lifted 1.2 of 2.5 mm: axis limit"
    expect(shown.get_by_role("status")).to_contain_text(told)
    expect(pause).to_be_hidden()
    resume = shown.get_by_role("button", name="Resume the print on Voron")
    expect(resume).to_be_enabled()
    expect(shown.get_by_role("list", name="Temperatures")).to_contain_text("180 °C, off")

    resume.click()
    page.get_by_role("dialog", name="Resume Voron?").get_by_role("button", name="Resume", exact=True).click()
    command = agent.wait_for_command("resume")
    printing(agent, "Resuming")
    expect(resume).to_be_disabled()
    expect(shown.get_by_role("button", name="Cancel the print")).to_be_enabled()
    agent.ack(command, "failed", "Must home axis first: Z")
    expect(shown.get_by_role("status")).to_contain_text("The printer says: Must home axis first: Z")


def test_a_refused_command_is_told_and_does_not_hide_the_one_under_way(
    page: Page, context: BrowserContext, link: Link
) -> None:
    agent = link("Voron", acks=("accepted",))
    page.goto("/")
    other = context.new_page()
    other.goto("/")
    printing(agent)
    here, there = card(page, "Voron").get_by_role("status"), card(other, "Voron").get_by_role("status")
    card(page, "Voron").get_by_role("button", name="Pause the print").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    command = agent.wait_for_command("pause")
    expect(there).to_contain_text("accepted by the printer")

    agent.acks = ("rejected",)
    card(other, "Voron").get_by_role("button", name="Cancel the print").click()
    other.get_by_role("dialog").get_by_role("button", name="Cancel the print").click()
    expect(there).to_contain_text("Cancel was refused.")
    expect(here).to_contain_text("accepted by the printer")

    agent.ack(command, "done", text="paused; retracted 6.5 mm")
    expect(here).to_contain_text("Paused; retracted 6.5 mm")
    expect(there).to_contain_text("Paused; retracted 6.5 mm")


def test_logging_out_in_one_window_ends_the_others(own_session: BrowserContext, complaints: Complaints) -> None:
    first, second = own_session.new_page(), own_session.new_page()
    complaints.watch(first)
    complaints.watch(second)
    for each in (first, second):
        with each.expect_response("**/printer_events/*") as events:  # the last that a page asks for by itself
            each.goto("/")
        events.value.finished()
        expect(each.get_by_role("heading", name="No printer yet")).to_be_visible()
    first.get_by_role("button", name="Log out").click()
    expect(first).to_have_url(re.compile("/login$"))
    expect(second).to_have_url(re.compile("/login$"))


def test_cancel_has_the_harmless_answer_as_default(page: Page, link: Link) -> None:
    agent = link("Voron", acks=("accepted", "done"))
    page.goto("/")
    printing(agent)
    shown = card(page, "Voron")
    cancel = shown.get_by_role("button", name="Cancel the print on Voron")
    cancel.click()
    question = page.get_by_role("dialog", name="Cancel the print on Voron?")
    expect(question).to_contain_text("cannot be continued")
    expect(question.get_by_role("button", name="Don't cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    cancel.click()
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    cancel.click()
    question.get_by_role("button", name="Cancel the print").click()
    assert agent.wait_for_command("cancel")["args"] == {}
    assert sum(len(frame.get("commands", ())) for frame in agent.received) == 1
    expect(shown.get_by_role("status")).to_contain_text("Cancelled")


def test_an_answer_never_hits_another_print(page: Page, link: Link) -> None:
    agent = link("Voron", acks=("accepted",))
    page.goto("/")
    printing(agent)
    shown = card(page, "Voron")
    shown.get_by_role("button", name="Cancel the print").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    agent.send_status(job_status(completion=100), print_ts=TS, event="PrintDone")
    printing(agent, ts=TS + 4000, name="second.gcode", completion=1)
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(shown.get_by_role("status")).to_contain_text("nothing was sent")
    assert not any("commands" in frame for frame in agent.received)


def test_an_agent_without_acknowledgements_is_told_by_its_state(page: Page, link: Link) -> None:
    agent = link("Voron")
    page.goto("/")
    printing(agent)
    shown = card(page, "Voron")
    shown.get_by_role("button", name="Pause the print").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    agent.wait_for_command("pause")
    expect(shown.get_by_role("status")).to_contain_text("not confirmed it yet")
    printing(agent, "Paused")
    expect(shown.get_by_role("status")).to_contain_text("Paused.")


def test_a_public_agent_is_told_by_its_state_too(page: Page, link: Link) -> None:
    agent = link("Voron")
    agent.version = "2.6.1"
    page.goto("/")
    printing(agent)
    shown = card(page, "Voron")
    shown.get_by_role("button", name="Pause the print").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    assert "id" not in agent.wait_for_command("pause")
    expect(shown.get_by_role("status")).to_contain_text("watch the printer's state")
    printing(agent, "Paused")
    expect(shown.get_by_role("status")).to_contain_text("Paused.")
    agent.close()
    expect(shown.get_by_text("Offline", exact=True)).to_be_visible()
    expect(shown.get_by_role("status")).not_to_contain_text("watch the printer's state")


def test_a_printer_that_goes_is_shown_offline(page: Page, link: Link, browser: Browser) -> None:
    agent = link("Voron")
    page.goto("/")
    printing(agent)
    agent.post_picture(draw(browser, 0.5))
    shown = card(page, "Voron")
    expect(shown.get_by_role("button", name="Pause the print")).to_be_enabled()
    expect(shown.get_by_role("img")).to_be_visible()
    agent.close()
    expect(shown.get_by_text("Offline", exact=True)).to_be_visible()
    expect(shown.locator(".since")).to_contain_text("Offline since")
    expect(shown.get_by_role("button", name="Pause the print")).to_be_hidden()
    expect(page.locator("#summary")).to_have_text("1 offline")
    agent.connect()
    printing(agent)
    expect(shown.get_by_text("Printing", exact=True)).to_be_visible()
    expect(shown.locator(".since")).to_contain_text("Online since")


def test_errors_are_said_in_the_printers_words(page: Page, link: Link) -> None:
    agent = link("Voron")
    page.goto("/")
    words = "MCU 'mcu' shutdown: Heater extruder not heating at expected rate"
    status = idle_status(state={"text": "Error", "flags": {"error": True, "closedOrError": True}, "error": words})
    agent.send_status(status, print_ts=None)
    shown = card(page, "Voron")
    expect(shown.get_by_text("Error", exact=True)).to_be_visible()
    expect(shown.get_by_text(words)).to_be_visible()


def test_foreign_text_stays_text(page: Page, link: Link) -> None:
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>.gcode'
    agent = link('"><svg onload=alert(3)>')
    page.goto("/")
    status = job_status(name=evil, display_status={"message": "<b onclick=alert(4)>hot</b>"})
    status["temperatures"]['<u title="x">'] = {"actual": 30.0, "target": None, "offset": 0}
    agent.send_status(status, print_ts=TS, event="PrintStarted")
    shown = page.get_by_role("article")
    expect(shown.locator(".file")).to_have_text(evil)
    expect(shown.get_by_role("heading")).to_have_text('"><svg onload=alert(3)>')
    expect(shown.get_by_text("<b onclick=alert(4)>hot</b>")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="onerror")).to_have_count(1)
    shown.get_by_role("button", name="Cancel the print").click()
    expect(page.get_by_role("dialog")).to_contain_text(evil)
    page.keyboard.press("Escape")
    assert page.locator("main img:not([alt^='Camera']):visible, main script, main b, main u").count() == 0


def test_settings_are_checked_saved_and_used(page: Page, link: Link) -> None:
    agent = link("Voron", acks=("accepted",))
    page.goto("/")
    printing(agent)
    card(page, "Voron").get_by_role("button", name="Settings of Voron").click()
    form = page.get_by_role("dialog", name="Settings of Voron")
    form.get_by_label("Name").fill("Trident")
    form.get_by_label("Pull filament back").fill("51")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_text("Enter a number from 0 to 50.")).to_be_visible()
    form.get_by_label("Pull filament back").fill("3.2")
    form.get_by_label("Lift the head").fill("0")
    form.get_by_label("Switch the nozzle heater off").uncheck()
    form.get_by_label("Switch the bed heater off").check()
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    shown = card(page, "Trident")
    shown.get_by_role("button", name="Pause the print").click()
    question = page.get_by_role("dialog", name="Pause Trident?")
    expect(question).to_contain_text("pulls the filament back 3.2 mm and switches the bed heater off")
    question.get_by_role("button", name="Pause", exact=True).click()
    args = agent.wait_for_command("pause")["args"]
    assert args["retract"] == 3.2
    assert args["lift_z"] == 0
    assert not args.get("tools_off")
    assert args["bed_off"] is True


def test_linking_again_keeps_the_printer(page: Page, link: Link, server: ServerProcess) -> None:
    old = link("Voron")
    page.clock.install()
    page.goto("/")
    old.send_status(idle_status())
    card(page, "Voron").get_by_role("button", name="Settings of Voron").click()
    page.get_by_role("button", name="Link again…").click()
    dialog = page.get_by_role("dialog", name="Link Voron again")
    expect(dialog.locator(".digits")).to_have_text(re.compile(r"\d{3} \d{3}"))
    new = FakeAgent.link(server.url, (dialog.locator(".digits").text_content() or "").replace(" ", ""))
    page.clock.fast_forward(6_000)  # the page asks every 5 s
    expect(dialog).to_be_hidden()
    new.connect()
    try:
        printing(new, name="after.gcode")
        expect(card(page, "Voron")).to_contain_text("after.gcode")
        expect(page.get_by_role("article")).to_have_count(1)
    finally:
        new.close()


def test_delete_names_the_printer_and_asks(page: Page, link: Link) -> None:
    link("Ender")
    link("Voron")
    page.goto("/")
    card(page, "Voron").get_by_role("button", name="Settings of Voron").click()
    page.get_by_role("button", name="Delete this printer…").click()
    question = page.get_by_role("dialog", name="Delete Voron?")
    expect(question.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    expect(card(page, "Voron")).to_be_visible()
    card(page, "Voron").get_by_role("button", name="Settings of Voron").click()
    page.get_by_role("button", name="Delete this printer…").click()
    question.get_by_role("button", name="Delete Voron").click()
    expect(card(page, "Voron")).to_have_count(0)
    expect(card(page, "Ender")).to_be_visible()


@pytest.fixture
def restartable(
    browser: Browser, fresh_server: ServerProcess, complaints: Complaints
) -> Iterator[tuple[ServerProcess, BrowserContext, Page]]:
    context = browser.new_context(base_url=fresh_server.url, storage_state=set_up(browser, fresh_server))
    page = context.new_page()
    complaints.watch(page)
    yield fresh_server, context, page
    complaints.forget_network()
    context.close()


def test_a_lost_server_never_looks_live_and_comes_back(
    restartable: tuple[ServerProcess, BrowserContext, Page],
) -> None:
    server, context, page = restartable
    agent = link_agent(context, server, "Voron")
    page.goto("/")
    printing(agent)
    shown = card(page, "Voron")
    expect(shown.get_by_text("Printing", exact=True)).to_be_visible()
    expect(page.locator(".banner")).to_be_hidden()

    server.stop()
    expect(page.get_by_role("alert")).to_contain_text("Connection to the server lost. What you see is old: from ")
    expect(shown.get_by_text("Was: Printing")).to_be_visible()
    expect(shown.locator(".since")).to_contain_text("Not live: as of ")
    expect(shown.get_by_role("button", name="Pause the print")).to_be_disabled()
    expect(page.locator("#summary")).to_have_text("Not live")
    assert page.evaluate(_LOW_CONTRAST) == []

    page.get_by_role("button", name="Try now").click()
    expect(page.locator(".banner")).to_be_visible()

    server.start()
    expect(page.locator(".banner")).to_be_hidden(timeout=45_000)  # the back-off's cap is 30 s
    agent.close()
    agent.connect()
    printing(agent, completion=40)
    expect(shown.get_by_text("Printing", exact=True)).to_be_visible()
    expect(shown).to_contain_text("40.0 %")
    expect(shown.get_by_role("button", name="Pause the print")).to_be_enabled()
    agent.close()


def test_a_silent_server_is_noticed_too(restartable: tuple[ServerProcess, BrowserContext, Page]) -> None:
    """20 s of silence, which the page's clock skips, and 5 s for the answer to a question, which it does not."""
    server, _, page = restartable
    page.clock.install()
    page.goto("/")
    expect(page.get_by_role("heading", name="No printer yet")).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-link", "live")
    server.freeze()
    try:
        page.clock.fast_forward(20_000)
        expect(page.get_by_role("alert")).to_contain_text("Connection to the server lost")
        expect(page.get_by_role("heading", name="No printer yet")).to_be_hidden()
    finally:
        server.thaw()
    expect(page.locator(".banner")).to_be_hidden(timeout=45_000)


def test_a_browser_without_network_says_so_at_once(
    context: BrowserContext, page: Page, complaints: Complaints
) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No printer yet")).to_be_visible()
    context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("Connection to the server lost")
    context.set_offline(False)
    expect(page.locator(".banner")).to_be_hidden()
    complaints.forget_network()


def test_an_ended_session_leads_to_the_log_in(page: Page, context: BrowserContext, complaints: Complaints) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No printer yet")).to_be_visible()
    cookies = context.cookies()
    context.clear_cookies()
    page.reload()
    expect(page).to_have_url(re.compile("/login$"))
    complaints.forget("401")
    context.add_cookies(cookies)  # type: ignore[arg-type]


def test_a_reconnect_without_session_leads_to_the_log_in(
    page: Page, context: BrowserContext, complaints: Complaints
) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No printer yet")).to_be_visible()
    cookies = context.cookies()
    context.clear_cookies()
    context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("Connection to the server lost")
    context.set_offline(False)
    expect(page).to_have_url(re.compile("/login$"))
    complaints.forget("401")
    complaints.forget_network()
    context.add_cookies(cookies)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_fits_the_screen_with_enough_contrast(
    context: BrowserContext, page: Page, link: Link, browser: Browser, scheme: Any, width: int, tmp_path: Path
) -> None:
    first, second = link("Voron 2.4 with a rather long name that must not break anything"), link("Ender")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/")
    printing(first, name="a_file_name_without_any_place_to_break_it_" * 3 + ".gcode")
    first.post_picture(draw(browser, 0.4))
    printing(second, "Paused")
    expect(page.get_by_role("img")).to_be_visible()
    expect(card(page, "Ender").get_by_text("Paused", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(_LOW_CONTRAST) == []
    page.screenshot(path=tmp_path / f"live-{scheme}-{width}.png", full_page=True)
    for opener in ("Settings of Ender", "Cancel the print on Ender"):
        page.get_by_role("button", name=opener).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate(_LOW_CONTRAST) == []
        assert page.evaluate(
            "document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth"
        )
        page.screenshot(path=tmp_path / f"dialog-{scheme}-{width}-{opener[:6]}.png")
        page.keyboard.press("Escape")


# Text with less than 4.5 : 1 against the first opaque background behind it. Disabled controls and pictures are exempt
# (WCAG 1.4.3).
_LOW_CONTRAST = """
() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return {rgb: m.slice(0, 3), a: m[3] ?? 1}; };
  const linear = (v) => (v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4);
  const lum = (rgb) => { const [r, g, b] = rgb.map(linear); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (n) => {
    for (; n; n = n.parentElement) {
      const c = parse(getComputedStyle(n).backgroundColor);
      if (c.a > .7) return c.rgb;
    }
    return parse(getComputedStyle(document.body).backgroundColor).rgb;
  };
  const low = [];
  const root = document.querySelector("dialog[open]") ?? document.body;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let t; (t = walker.nextNode());) {
    const n = t.parentElement;
    if (!t.data.trim() || !n.checkVisibility() || n.closest(":disabled, .sr-only, .skip, noscript, script")) continue;
    const a = lum(parse(getComputedStyle(n).color).rgb), b = lum(behind(n));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)} ${n.className || n.tagName}: ${t.data.trim().slice(0, 40)}`);
  }
  return low;
}
"""


def test_keyboard_alone_is_enough(page: Page, link: Link) -> None:
    agent = link("Voron", acks=("accepted",))
    page.goto("/")
    printing(agent)
    pause = card(page, "Voron").get_by_role("button", name="Pause the print")
    expect(pause).to_be_enabled()
    for _ in range(12):
        page.keyboard.press("Tab")
        if pause.evaluate("node => node === document.activeElement"):
            break
    expect(pause).to_be_focused()
    assert pause.evaluate("node => getComputedStyle(node).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Enter")
    agent.wait_for_command("pause")
    expect(page.get_by_role("dialog")).to_be_hidden()
