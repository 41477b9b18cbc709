"""The pause experiments of the recordings (cases A0-A3, H1-H9, R1-R5), done again on the klippy stand-in.

Each recording is replayed request by request: what was answered, and the printer's state in the notes, must come out
the same. Where the moment mattered (a pause at a line of the file) the note's file position tells it.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.klippy.options import Options
from demo.klippy.simulation import Request, Simulation

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings" / "moonraker"
FILES = (
    "11_pause_matrix",
    "11b_pause_matrix",
    "13_pause_heaters_limits",
    "18_recommended_sequence_and_races",
)
NOTE = re.compile(
    r"gcode_position=\[(?P<gcode>.*?)\] position=\[(?P<position>.*?)\] toolhead=\[.*?\] live=\[(?P<live>.*?)\] "
    r"abs_xyz=(?P<xyz>\w+) abs_e=(?P<e>\w+) speed=(?P<speed>\S+) state=(?P<state>\S+) is_paused=(?P<paused>\w+) "
    r"target=(?P<target>\d+) sdpos=(?P<sdpos>\d+)"
)
CASE = re.compile(r"#### CASE macros=(\w+) file=(\S+) (\w+):")
# Requests sent in mid-print without a note of where; the positions afterwards tell.
SENT_AT = {("H6", "gcode/script"): 365, ("H3", "pause_resume/pause"): 365, ("H9", "pause_resume/pause"): 365}


@dataclass(frozen=True, slots=True)
class Note:
    """The printer as the recording script saw it."""

    text: str
    gcode: tuple[float, ...]
    position: tuple[float, ...]
    settled: bool
    modes: tuple[bool, bool]
    speed: float
    state: str
    is_paused: bool
    target: int
    sdpos: int


def _parse_note(text: str) -> Note | None:
    match = NOTE.search(text)
    if match is None:
        return None

    def numbers(name: str) -> tuple[float, ...]:
        return tuple(float(n) for n in match[name].split(","))

    return Note(
        text, numbers("gcode"), numbers("position"), numbers("live") == numbers("position"),
        (match["xyz"] == "True", match["e"] == "True"), float(match["speed"]), match["state"],
        match["paused"] == "True", int(match["target"]), int(match["sdpos"]),
    )  # fmt: skip


def _frames(name: str) -> list[dict[str, Any]]:
    with gzip.open(RECORDINGS / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Replay:
    """Replays one recording; `checked` counts the notes that were compared."""

    def __init__(self, frames: list[dict[str, Any]]) -> None:
        self.frames = frames
        self.simulation: Simulation | None = None
        self.case = ""
        self.extruded_before: float | None = None
        self.requests: dict[int, Request] = {}
        self.last_sent = 0.0
        self.checked: dict[str, int] = {}

    def run(self) -> None:
        for index, frame in enumerate(self.frames):
            content = frame["frame"]
            if frame["dir"] == "note":
                self.note(str(content.get("note")), index)
            elif frame["dir"] == "send" and isinstance(content, dict) and "method" in content:
                self.sent(content, frame["t"], index)
            elif frame["dir"] == "recv" and isinstance(content, dict):
                self.received(content)

    def received(self, content: dict[str, Any]) -> None:
        if content.get("method") == "notify_gcode_response" and content["params"] == ["// Klipper state: Disconnect"]:
            self.simulation = None
        request = self.requests.pop(content.get("id", -1), None)
        if request is None or self.simulation is None:
            return
        self.simulation.until(lambda: request.answered)
        assert request.error == content.get("error", {}).get("message"), self.case

    def note(self, text: str, index: int) -> None:
        case = CASE.match(text)
        if case is not None:
            if self.simulation is None:
                options = Options(RECORDINGS / "gcode", client_macros=case[1] == "client", idle_timeout=1800.0)
                self.simulation = Simulation(options)
                self.extruded_before = None
            self.case = case[3]
            return
        note = _parse_note(text)
        if note is not None and self.simulation is not None:
            self.reach(note)
            self.compare(note, index)

    def reach(self, note: Note) -> None:
        simulation = self.simulation
        assert simulation is not None
        printer = simulation.host.printer

        def there() -> bool:
            return (
                printer.stats.state == note.state
                and printer.pause_resume.is_paused == note.is_paused
                and printer.sdcard.position == note.sdpos
                and printer.physical.hotend.target == note.target
            )

        simulation.until(there, timeout=900.0)
        if note.settled:
            simulation.settle()

    def compare(self, note: Note, index: int) -> None:
        simulation = self.simulation
        assert simulation is not None
        moves = simulation.host.printer.moves
        where = f"case {self.case}, frame {index}: {note.text}"
        position = moves.state.last_position
        if self.extruded_before is None:
            # The extruder's count does not start at 0 in every recording.
            self.extruded_before = note.position[3] - position[3]
        if note.state != "printing":  # while it prints, the note may have caught the next line half done
            expected = (*note.position[:3], note.position[3] - self.extruded_before)
            assert position == pytest.approx(expected, abs=0.00051), where
            assert moves.gcode_position() == pytest.approx(note.gcode, abs=0.00051), where
        assert (moves.state.absolute_coordinates, moves.state.absolute_extrude) == note.modes, where
        assert moves.gcode_speed() == pytest.approx(note.speed), where
        if note.settled:
            assert simulation.host.printer.toolhead.live(simulation.clock.now)[0] == position, where
        self.checked[self.case] = self.checked.get(self.case, 0) + 1

    def sent(self, content: dict[str, Any], at: float, index: int) -> None:
        if self.simulation is None:
            return
        method, params = _to_klippy(content)
        if method is None:
            return
        if self.simulation.host.printer.stats.state == "printing":
            self.reach_line(method, index, at - self.last_sent)
        elif at > self.last_sent:
            self.simulation.run(at - self.last_sent)
        self.last_sent = at
        self.requests[content["id"]] = self.simulation.send(method, **params)

    def reach_line(self, method: str, index: int, elapsed: float) -> None:
        """Run to the line at which the recorded request came, or as long as the recording did."""
        simulation = self.simulation
        assert simulation is not None
        note = next(
            (n for f in self.frames[index:] if f["dir"] == "note" and (n := _parse_note(str(f["frame"]["note"])))), None
        )
        line = SENT_AT.get((self.case, method))
        if line is None and (note is None or note.state != "paused"):
            if note is not None and note.state == "cancelled":
                simulation.run(elapsed)
            return
        position = line if line is not None or note is None else note.sdpos
        simulation.until(lambda: simulation.host.printer.sdcard.position == position, timeout=900.0)


def _to_klippy(content: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """What Moonraker makes of a client's request."""
    method, params = content["method"], content.get("params", {})
    if method == "printer.gcode.script":
        return "gcode/script", params
    if method == "printer.print.start":
        return "gcode/script", {"script": f'SDCARD_PRINT_FILE FILENAME="{params["filename"]}"'}
    if method.startswith("printer.print."):
        return "pause_resume/" + method.removeprefix("printer.print."), {}
    return None, {}


@pytest.mark.parametrize("name", FILES)
def test_every_case_ends_where_the_real_klipper_did(name: str) -> None:
    replay = Replay(_frames(name))
    replay.run()
    cases = {
        match[3]
        for f in replay.frames
        if f["dir"] == "note" and (match := CASE.match(str(f["frame"]["note"]))) is not None
    }
    assert set(replay.checked) == cases
