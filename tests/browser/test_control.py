"""The printer in hand: moving, heating and the terminal from its card; the agent's refusals are shown in its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.fakes.agent import FakeAgent, idle_status

Link = Callable[..., FakeAgent]


def test_the_card_moves_heats_and_shows_the_terminal(page: Page, link: Link) -> None:
    agent = link("Voron")
    calls: list[tuple[Any, ...]] = []

    def keeps(name: str, answer: Any = None) -> None:
        def take(*args: Any) -> Any:
            calls.append((name, *args))
            return answer

        agent.functions[name] = take

    def refuse(*_: Any) -> Any:
        raise ValueError("refused: a print is under way")

    for name in ("_printer.jog", "_printer.home", "_printer.set_temperature", "_printer.commands"):
        keeps(name)
    keeps("gcode_hooks.toggle_terminal_feed", True)
    agent.send_status(idle_status())
    page.goto("/")
    page.get_by_role("button", name="Control Voron").click()
    panel = page.get_by_role("dialog", name="Control Voron")
    said = panel.get_by_role("status")

    panel.get_by_label("Step").select_option("1")
    panel.get_by_role("button", name="Left (X)").click()
    expect(said).to_have_text("It moves.")
    panel.get_by_role("button", name="Home Z").click()
    expect(said).to_have_text("It is homing.")
    panel.get_by_role("spinbutton", name="Bed").fill("60")
    panel.get_by_role("button", name="Set Bed").click()
    expect(said).to_have_text("Bed is set.")
    panel.get_by_role("button", name="Nozzle off").click()
    expect(said).to_have_text("Nozzle is off.")
    panel.get_by_label("G-code").fill("M114")
    panel.get_by_role("button", name="Send").click()
    expect(panel.get_by_label("G-code")).to_have_value("")
    agent.send({"passthru": {"terminal_feed": {"msg": "Recv: X:1.00 <b>Y</b>", "_ts": 1.0}}})
    expect(panel.get_by_role("log")).to_have_text("> M114\nRecv: X:1.00 <b>Y</b>")
    assert calls == [
        ("gcode_hooks.toggle_terminal_feed", "on"), ("_printer.jog", {"x": -1}), ("_printer.home", ["z"]),
        ("_printer.set_temperature", "bed", 60), ("_printer.set_temperature", "tool0", 0),
        ("_printer.commands", "M114"),
    ]  # fmt: skip

    agent.functions["_printer.home"] = refuse
    panel.get_by_role("button", name="Home all").click()
    expect(panel.get_by_role("alert")).to_have_text("refused: a print is under way")
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)
