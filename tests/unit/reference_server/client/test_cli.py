"""`obico-fleet` without a server: its words, its bars, its exit statuses, where it keeps the key."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_server.client import Client, RateLimit, Retry
from reference_server.client.cli import login, main, text
from reference_server.client.cli.arguments import parser
from reference_server.client.cli.console import Console, Stop
from reference_server.client.cli.finding import printers_named
from reference_server.client.cli.pace import pause
from reference_server.client.cli.submit import Bar, wait_for
from reference_server.client.cli.watch import fit, watch
from reference_server.client.objects import Job, Printer
from reference_server.client.reading import read_object

KEY = "pf_live_" + "5" * 64


def screen() -> tuple[int, int]:
    return 120, 30


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Speaker:
    """A console that keeps what was said; `answers`: what is typed."""

    def __init__(self, answers: str = "", environment: Mapping[str, str] | None = None, *, live: bool = False) -> None:
        self.out, self.err = (Terminal(), Terminal()) if live else (io.StringIO(), io.StringIO())
        into = Terminal(answers) if answers else io.StringIO()
        self.now, self.waits = 0.0, 0
        self.console = Console(self.out, self.err, into, environment or {}, self.wait, lambda: self.now, screen)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.waits += 1
        if self.waits == 3:
            raise KeyboardInterrupt


def printer(name: str, number: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"prt_{number}", "name": name, "status": "idle", "model": "", "firmware": None, "current_job": None,
        "temperatures": {"hotend": 214.6, "bed": None}, "progress": None, "group": None, "tags": [], **more,
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
    }  # fmt: skip


def job(**more: Any) -> dict[str, Any]:
    return {
        "id": "job_1", "name": "part", "status": "queued", "priority": "high", "printer_id": None, "progress": 0,
        "file_url": None, "estimated_duration": 7200, "elapsed_time": 0, "created_at": "2026-01-02T03:04:05Z",
        "material": {"type": None, "color": None, "estimated_usage": None}, "started_at": None, "completed_at": None,
        "waiting_reason": "no printer is idle", **more,
    }  # fmt: skip


def listed(*items: Any) -> httpx.Response:
    pagination = {"page": 1, "per_page": 100, "total": len(items), "total_pages": 1}
    return httpx.Response(200, json={"data": items, "pagination": pagination})


class Farm:
    def __init__(self, *printers: dict[str, Any], jobs: tuple[dict[str, Any], ...] = ()) -> None:
        self.printers, self.jobs = printers, jobs
        self.acts: list[tuple[str, Any]] = []
        self.down = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        path = request.url.path
        if path.endswith("/actions"):
            self.acts.append((path.split("/")[-2], json.loads(request.content)["action"]))
            if self.acts[-1][0] == "prt_2":
                error = {"code": "printer_offline", "message": "No agent is connected.", "details": {}}
                return httpx.Response(409, json={"success": False, "error": error})
            return httpx.Response(200, json={"printer": "x", "action": "x", "state": "done", "error": None})
        if path == "/v1/jobs":
            status = request.url.params.get("status")
            return listed(*[each for each in self.jobs if each["status"] == status])
        return listed(*self.printers)

    @property
    def client(self) -> Client:
        return Client(KEY, "http://farm.test", transport=httpx.MockTransport(self), retry=Retry(0))


A, B, B2 = printer("Ada", "1"), printer("Bob", "2"), printer("bob", "3")


def test_names_are_found_in_any_case_and_must_be_one_printers() -> None:
    client = Farm(A, B, B2).client
    assert [each.id for each in printers_named(client, ["ADA", "prt_2", "prt_1"])] == ["prt_1", "prt_2"]
    for word, told in (("bob", "prt_2, prt_3"), ("eve\x1b[2J", "There are: Ada, Bob, bob")):
        with pytest.raises(Stop, match=told) as caught:
            printers_named(client, [word])
        assert "\x1b" not in str(caught.value)


def acted(farm: Farm, speaker: Speaker, *arguments: str) -> int:
    args = parser().parse_args(arguments)
    status: int = args.run(farm.client, speaker.console, args)
    return status


def test_an_action_that_one_printer_refuses_reaches_the_others() -> None:
    farm, speaker = Farm(A, B), Speaker()
    assert acted(farm, speaker, "clear-bed", "bob", "ada") == 1
    assert farm.acts == [("prt_2", "clear_bed"), ("prt_1", "clear_bed")]
    assert (speaker.out.getvalue(), speaker.err.getvalue()) == ("Ada: done\n", "Bob: No agent is connected.\n")


@pytest.mark.parametrize(
    ("answers", "options", "status", "acts"),
    [("n\n", [], 1, 0), ("y\n", [], 0, 1), ("", ["--yes"], 0, 1)],
)
def test_a_cancel_asks(answers: str, options: list[str], status: int, acts: int) -> None:
    farm, speaker = Farm(A), Speaker(answers)
    assert acted(farm, speaker, "cancel", "Ada", *options) == status
    assert len(farm.acts) == acts


def test_a_cancel_that_nobody_confirms_does_nothing() -> None:
    farm = Farm(A)
    with pytest.raises(Stop, match="--yes") as caught:
        acted(farm, Speaker(), "cancel", "Ada")
    assert (caught.value.status, farm.acts) == (2, [])


def test_a_table_shows_names_as_text_and_keeps_to_the_screen() -> None:
    lines = text.table(("NAME", "N"), [("a\x1b[31m\nb", 1), ("見" * 40, 2)], 30)
    assert lines[1] == "a?[31m?b                     1"
    assert all(text.width(line) <= 30 for line in lines)
    assert "…" in lines[2]


@pytest.mark.parametrize(
    ("made", "wanted"),
    [(text.size(999), "999 B"), (text.size(12_345_678), "12.3 MB"), (text.span(12), "12 s"),
     (text.span(270), "4 min 30 s"), (text.span(7500), "2 h 05 min"), (text.grams(4.25), "4.2 g"),
     (text.grams(650), "650 g"), (text.bar(0.5, 4), "[##--]"), (text.bar(7, 4), "[####]"), (text.percent(None), "")],
)  # fmt: skip
def test_units(made: str, wanted: str) -> None:
    assert made == wanted


def test_a_bar_tells_how_much_how_fast_and_how_long() -> None:
    speaker = Speaker(live=True)
    drawn = Bar(speaker.console, "part.gcode")
    for seconds, sent in ((0, 0), (0.05, 1_000_000), (2, 5_000_000), (4, 10_000_000)):
        speaker.now = seconds
        drawn(sent, 10_000_000)
    assert drawn.end() == "10.0 MB in 4 s"
    pictures = speaker.err.getvalue().split("\r")[1:]
    assert len(pictures) == 4  # not one for each piece
    assert "[############------------]  50 %  5.0 MB of 10.0 MB  2.5 MB/s  2 s left" in pictures[1]
    quiet = Speaker()
    Bar(quiet.console, "part.gcode")(0, 1)
    assert quiet.err.getvalue() == ""


def test_a_screen_holds_no_more_than_it_can() -> None:
    lines = fit([f"line {number}" for number in range(50)], 10, 20, "the foot, which is much too long")
    assert len(lines) == 10
    assert lines[-3:] == ["… 43 more lines", "", "the foot, which is …"]


def test_watching_goes_on_while_the_server_is_away_and_ends_with_ctrl_c() -> None:
    farm = Farm(printer("Ada", "1", status="printing", state="Paused", progress=45), jobs=(job(),))
    speaker = Speaker(live=True)

    def wait(seconds: float) -> None:
        farm.down = not farm.down
        speaker.wait(seconds)

    watch(farm.client, Console(speaker.out, speaker.err, wait=wait, size=screen), 2.0, None, once=False)
    shown = speaker.out.getvalue()
    first, second, third = shown.split("\x1b[H")[1:]
    assert "1 printer: 1 printing, 0 idle, 0 offline" in first
    assert "paused" in first
    assert "[####------]  45 %" in first
    assert "no printer is idle" in first
    assert "this is old" not in first
    assert "this is old: http://farm.test: refused" in second
    assert "this is old" not in third
    assert shown.startswith("\x1b[?1049h\x1b[?25l")
    assert shown.endswith("\x1b[?25h\x1b[?1049l")


def test_watching_without_a_terminal_is_plain_text() -> None:
    speaker = Speaker()
    watch(Farm(A, printer("Dirty", "4", bed_clear=False)).client, speaker.console, 2.0, None, once=False)
    assert "\x1b" not in speaker.out.getvalue()
    assert speaker.out.getvalue().count("PRINTER") == 3
    assert "idle, bed not clear" in speaker.out.getvalue()
    assert "1 waiting for clear-bed" in speaker.out.getvalue()


def test_a_program_that_watches_leaves_calls_for_others() -> None:
    assert pause(None, 3, 2.0) == 2.0
    assert pause(RateLimit(1000, 900, 0), 3, 2.0) == 2.0
    assert pause(RateLimit(1000, 500, 0), 3, 2.0) == pytest.approx(10.8)
    assert pause(RateLimit(1_000_000, 5, 0), 3, 2.0) == 2.0


def test_a_login_is_kept_where_others_cannot_read_it(tmp_path: Path) -> None:
    path = login.place({"XDG_CONFIG_HOME": str(tmp_path)})
    assert login.place({"HOME": "/home/me"}) == Path("/home/me/.config/obico-fleet/login.json")
    assert login.load(path) is None
    for _ in range(2):
        login.save(path, login.Login("http://farm.test", KEY))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    found = login.load(path)
    assert found == login.Login("http://farm.test", KEY)
    assert KEY not in repr(found)
    assert [each.name for each in path.parent.iterdir()] == ["login.json"]
    path.write_text("[")
    assert login.load(path) is None
    assert (login.forget(path), login.forget(path)) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["whoami"], 4, "login"),
        (["--url", "nonsense", "whoami"], 2, "address"),
        (["--url", "http://farm.test", "whoami"], 4, "No key is known"),
        (["login"], 2, "Which server"),
        (["logout"], 0, ""),
        (["login", "http://farm.test"], 4, "No key was given"),
    ],
)
def test_what_is_told_without_a_server(tmp_path: Path, arguments: list[str], status: int, told: str) -> None:
    speaker = Speaker(environment={"XDG_CONFIG_HOME": str(tmp_path)})
    assert main.run(speaker.console, arguments) == status
    assert told in speaker.err.getvalue()


def test_a_key_is_not_sent_to_another_server_than_it_is_for(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    login.save(login.place(environment), login.Login("http://farm.test", KEY))
    speaker = Speaker(environment=environment)
    assert main.run(speaker.console, ["--url", "http://other.test", "whoami"]) == 4
    assert "No key is known for http://other.test" in speaker.err.getvalue()


def test_rows_of_objects_that_say_little() -> None:
    bare = {key: value for key, value in job().items() if key != "waiting_reason"}
    from reference_server.client.cli import shows

    assert shows.job_row(read_object(Job, bare), {})[4:8] == (1, "", "~2 h 00 min", None)
    assert shows.printer_row(read_object(Printer, A))[1:5] == ("idle", "", "215 °C", "")


def test_waiting_for_jobs_tells_changes_and_fails_with_the_job() -> None:
    states = iter([job(), job(status="printing", progress=50), ConnectionError, job(status="failed", reason="jammed")])

    def answer(request: httpx.Request) -> httpx.Response:
        found = next(states)
        if found is ConnectionError:
            raise httpx.ConnectError("refused")
        assert isinstance(found, dict)
        return httpx.Response(200, json=found)

    speaker = Speaker()
    console = Console(speaker.out, speaker.err, wait=lambda seconds: None)
    client = Client(KEY, "http://farm.test", transport=httpx.MockTransport(answer), retry=Retry(0))
    with pytest.raises(Stop, match="1 of 1 jobs") as caught:
        wait_for(client, console, [read_object(Job, job())])
    assert caught.value.status == 5
    assert [line.split(": ", 1)[1] for line in speaker.out.getvalue().splitlines()] == [
        "queued", "printing", "failed (jammed)"
    ]  # fmt: skip
    assert "refused; still waiting" in speaker.err.getvalue()


def test_json_goes_to_a_program_and_a_table_to_a_person() -> None:
    farm, speaker = Farm(A, B), Speaker()
    assert acted(farm, speaker, "list", "printers", "--json") == 0
    assert [each["id"] for each in json.loads(speaker.out.getvalue())] == ["prt_1", "prt_2"]
    few = Speaker()
    assert acted(farm, few, "list", "printers", "--limit", "1") == 0
    assert few.out.getvalue().splitlines()[0].split()[:3] == ["PRINTER", "STATUS", "PROGRESS"]
    assert (len(few.out.getvalue().splitlines()), "more than 1" in few.err.getvalue()) == (2, True)
