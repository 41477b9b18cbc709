"""The history: events with their words, a print's own page by its address, deleting one."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Complaints
from tests.fakes.agent import FakeAgent, idle_status, job_status

TS = 1_767_000_000
Link = Callable[..., FakeAgent]


def finish(agent: FakeAgent, name: str, ts: int = TS) -> None:
    agent.send_status(job_status(name=name), print_ts=ts, event="PrintStarted")
    agent.send_status(job_status(name=name, completion=100), print_ts=ts, event="PrintDone")
    agent.send_status(idle_status(), print_ts=-1)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has_text=name)


def test_a_print_is_opened_by_its_row_and_by_its_address(page: Page, link: Link) -> None:
    agent = link("Voron")
    page.goto("/")
    finish(agent, "fan duct.gcode")
    page.get_by_role("link", name="fan duct.gcode").click()
    shown = page.get_by_role("dialog", name="fan duct.gcode")
    expect(shown).to_contain_text("Finished")
    expect(shown).to_contain_text("Voron")
    expect(shown).to_contain_text("There is no time-lapse video: the print was short, or there were no pictures.")
    address = page.url
    assert re.search(r"#/prints/\d+$", address)
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    expect(page).to_have_url(re.compile(r"^[^#]*$"))
    page.goto("about:blank")
    page.goto(address)
    expect(shown).to_be_visible()


def test_an_address_of_no_print_is_told(page: Page, link: Link, complaints: Complaints) -> None:
    link("Voron")
    page.goto("/#/prints/4711")
    expect(page.get_by_text("There is no such print (any more).")).to_be_visible()
    complaints.forget("404")


def test_a_print_is_deleted_only_after_a_question(page: Page, link: Link) -> None:
    agent = link("Voron")
    page.goto("/")
    finish(agent, "wrong.gcode")
    page.get_by_role("link", name="wrong.gcode").click()
    shown = page.get_by_role("dialog", name="wrong.gcode")
    shown.get_by_role("button", name="Delete this print…").click()
    question = page.get_by_role("dialog", name="Delete this print?")
    question.get_by_role("button", name="Keep it").click()
    expect(shown).to_be_visible()
    shown.get_by_role("button", name="Delete this print…").click()
    question.get_by_role("button", name="Delete it").click()
    expect(shown).to_be_hidden()
    expect(row(page, "wrong.gcode")).to_have_count(0)


def test_events_are_told_in_words_and_names_are_no_markup(page: Page, link: Link) -> None:
    agent = link("Voron <b>2</b>")
    page.goto("/")
    finish(agent, "<img src=x onerror=alert(1)>.gcode")
    events = page.get_by_role("region", name="Events").get_by_role("listitem")
    mine = events.filter(has_text="<img src=x onerror=alert(1)>.gcode").filter(has_text="Voron <b>2</b>")
    expect(mine.filter(has_text="Print Job Finished")).to_be_visible()
    expect(page.locator(".events img, .events b")).to_have_count(0)


def test_the_failure_watch_is_set_per_printer(page: Page, link: Link) -> None:
    link("Voron")
    page.goto("/")
    page.get_by_role("button", name="Settings of Voron").click()
    dialog = page.get_by_role("dialog", name="Settings of Voron")
    dialog.get_by_label("When a print looks like a failure").select_option("NONE")
    dialog.get_by_label("Sensitivity").select_option("1.2")
    dialog.get_by_label("Watch prints for failures").uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Settings of Voron").click()
    expect(dialog.get_by_label("When a print looks like a failure")).to_have_value("NONE")
    expect(dialog.get_by_label("Sensitivity")).to_have_value("1.2")
    expect(dialog.get_by_label("Watch prints for failures")).not_to_be_checked()


def test_why_a_print_is_not_watched_is_said(page: Page, link: Link) -> None:
    agent = link("Voron")
    page.goto("/")
    agent.send_status(job_status(), print_ts=TS, event="PrintStarted")
    card = page.get_by_role("article", name="Voron", exact=True)
    expect(card).to_contain_text("Failure watch: looks fine")
