"""State sequences of whole recordings, replayed on the stand-in.

The client's requests of a recording are sent again, each when the stand-in has come to the state that the recording
client knew then; in the end every state field must have gone through the same values, and every request must have had
the same answer.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.klippy.options import Options
from demo.klippy.simulation import Request, Simulation

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings" / "moonraker"
FIELDS = (
    ("print_stats", "state"),
    ("print_stats", "filename"),
    ("print_stats", "message"),
    ("print_stats", "info"),
    ("virtual_sdcard", "is_active"),
    ("pause_resume", "is_paused"),
    ("display_status", "message"),
)
# What the session before the recording had left behind.
LEFT_OVER = {
    "03": (
        "SDCARD_PRINT_FILE FILENAME=two_cubes_prusaslicer.gcode",
        "CANCEL_PRINT",
        "SET_PRINT_STATS_INFO TOTAL_LAYER=20 CURRENT_LAYER=2",
    ),
    "17": ("G91",),
    "19": ("SDCARD_PRINT_FILE FILENAME=bracket_cura.gcode", "CANCEL_PRINT", "M117 queued behind"),
}
OBJECTS = ("webhooks", "print_stats", "virtual_sdcard", "pause_resume", "display_status", "extruder", "heater_bed")


def frames(name: str) -> Iterator[dict[str, Any]]:
    path = RECORDINGS / name
    content = path.read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    yield from (json.loads(line) for line in text.splitlines())


def uses_client_macros(name: str) -> bool:
    return any('"gcode_macro PAUSE"' in json.dumps(f["frame"]) for f in frames(name))


def without_position(text: str | None) -> str | None:
    """An error's text without the extruder's count, which depends on what was printed before."""
    return None if text is None else re.sub(r"\[-?[\d.]+\]", "[]", text)


class Replay:
    """`known` is what the recording client knew, `simulation.seen` what ours knows."""

    def __init__(self, name: str, simulation: Simulation) -> None:
        self.name = name
        self.simulation = simulation
        self.known: dict[str, dict[str, Any]] = {}
        self.changes: dict[tuple[str, str], list[Any]] = {}
        self.requests: dict[int, Request] = {}
        self.answered = 0

    def run(self) -> None:
        for frame in frames(self.name):
            content = frame["frame"]
            if not isinstance(content, dict):
                continue
            if frame["dir"] == "send" and "method" in content:
                self.sent(content)
            elif frame["dir"] == "send" and content.get("path") == "/server/files/upload":
                self.uploaded(content)
            elif frame["dir"] == "recv":
                self.received(content)
        self.catch_up()

    def received(self, content: dict[str, Any]) -> None:
        if content.get("method") == "notify_status_update":
            self.merge(content["params"][0])
            return
        result = content.get("result")
        if isinstance(result, dict) and isinstance(result.get("status"), dict) and "print_stats" in result["status"]:
            self.merge(result["status"])
        request = self.requests.pop(content.get("id", -1), None)
        if request is not None:
            self.simulation.until(lambda: request.answered)
            expected = content.get("error", {}).get("message")
            assert without_position(request.error) == without_position(expected)
            self.answered += 1

    def merge(self, status: dict[str, dict[str, Any]]) -> None:
        for name, values in status.items():
            known = self.known.setdefault(name, {})
            for key, value in values.items():
                if known.get(key, self) != value:
                    self.changes.setdefault((name, key), []).append(value)
            known.update(values)

    def uploaded(self, content: dict[str, Any]) -> None:
        """An upload with print=true starts the file, unless something prints."""
        if content.get("data", {}).get("print") == "true" and self.simulation.status("print_stats")["state"] not in (
            "printing",
            "paused",
        ):
            self.simulation.print_file(content["multipart_file"]["name"])

    def sent(self, content: dict[str, Any]) -> None:
        method, params = content["method"], content.get("params", {})
        if not method.startswith(("printer.print.", "printer.gcode.")):
            return
        self.catch_up()
        if method == "printer.gcode.script" and "script" in params:
            request = self.simulation.send("gcode/script", **params)
        elif method == "printer.print.start":
            script = f'SDCARD_PRINT_FILE FILENAME="{params["filename"]}"'
            request = self.simulation.send("gcode/script", script=script)
        elif method in ("printer.print.pause", "printer.print.resume", "printer.print.cancel"):
            request = self.simulation.send("pause_resume/" + method.rpartition(".")[2])
        else:
            return
        self.requests[content["id"]] = request

    def catch_up(self) -> None:
        """Run until our client has seen at least what the recording client had seen."""
        if not self.known:
            return
        simulation = self.simulation

        def there() -> bool:
            for field in FIELDS:
                if len(simulation.changes[field]) < len(self.changes.get(field, ())):
                    return False
            if self.known["print_stats"]["state"] != "printing":
                return True
            # The real file was pre-processed by Moonraker, so bytes differ a little.
            progress = self.known["virtual_sdcard"]["progress"]
            ended = simulation.seen["print_stats"]["state"] != "printing"
            return bool(ended or simulation.seen["virtual_sdcard"]["progress"] >= progress - 0.005)

        simulation.until(there, timeout=1800.0)


@pytest.mark.parametrize(
    ("name", "cancel_on_error", "answers"),
    [
        ("02_upload_start_pause_resume_cancel.jsonl", True, 4),
        ("03_upload_and_print_to_completion.jsonl.gz", True, 1),
        ("04_print_errors.jsonl.gz", True, 10),
        ("04b_print_error_default_on_error_gcode.jsonl", False, 1),
        ("12_pause_and_cancel_while_heating.jsonl", False, 8),
        ("15_conflicts_while_printing.jsonl", True, 6),
        ("17_leftover_relative_mode_ruins_next_print.jsonl", True, 1),
        ("19_prusaslicer_print_layers_exclude_object.jsonl.gz", False, 3),
    ],
)
def test_the_states_go_through_the_recorded_values(name: str, cancel_on_error: bool, answers: int) -> None:
    options = Options(
        RECORDINGS / "gcode",
        client_macros=uses_client_macros(name),
        cancel_on_error=cancel_on_error,
        idle_timeout=1800.0,
    )
    simulation = Simulation(options)
    for script in LEFT_OVER.get(name[:2], ()):
        assert simulation.script(script) is None
    simulation.subscribe(*OBJECTS)
    replay = Replay(name, simulation)
    replay.run()
    for field in FIELDS:
        assert simulation.changes[field] == replay.changes[field], field
    assert replay.answered >= answers
