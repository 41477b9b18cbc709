"""`make demo`: the server, a real OctoPrint and a real Moonraker, each with its agent, linked and printing.

`python -m demo.run` shows them to a person until Ctrl-C; `python -m demo.run --check` drives them without one, prints a
table and exits non-zero on any miss. Everything lives in .demo/ and .venvs/ of this checkout.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event

from demo import check, check_failing, check_hosts, envs, make_gcode
from demo.check_table import Table
from demo.farm import show as farm_show
from demo.feeder import EVERY, Feeder, fail
from demo.history import seed_history
from demo.octoprint_host import OctoPrintHost, OctoPrintSetup, OctoPrintTrouble
from demo.parts import ROOT, Camera, Klipper, KlipperAgent, Server, installed
from demo.processes import Process, Trouble, free_port, tail, wait_for
from demo.rest import Refused
from demo.viewer import Viewer

HOME = ROOT / ".demo"
PORT = 3334
DEMO_SPEED, DEMO_LAYERS = 2.0, 80
CHECK_SPEED, CHECK_LAYERS = 8.0, 14
CHECK_OCTOPRINT_SPEED = 1.5
"""OctoPrint's print is the one that is cancelled: it must not end before that."""

FAIL_SPEED, FAIL_OCTOPRINT_SPEED, FAIL_LAYERS = 3.0, 2.0, 60
"""Three minutes: the built-in detector compares the print with what it was some percent earlier."""

FAIL_FROM = 40.0
"""Percent of the print that go well. The built-in detector must know the part first; that takes it a quarter."""

FARM_SLOWER = 15.0
"""For a person prints of the simulated printers take so many times what they take for a check: 20 s to a minute."""

FAILURE = "spaghetti"
"""See demo/scene.py."""

VIRTUAL_PRINTER_HASTE = 10.0
"""OctoPrint's virtual printer takes a tenth of the time that a move takes a real one."""

_PAUSE = Event()
"""Never set: lets a moment pass between two looks at the parts."""


class Demo:
    """All parts. `start` brings them up, `stop` ends what is up; both say what they do."""

    def __init__(self, *, port: int, speed: float, layers: int, only: str | None, fail: bool = False) -> None:
        self.speed, self.layers = speed, layers
        self.password = secrets.token_urlsafe(9)
        programs = installed()
        self._short = tempfile.TemporaryDirectory(prefix="demo-")  # unix sockets need short paths
        watch = ["--detector", "builtin", *(["--detection-every", f"{EVERY:g}"] if fail else []), *farm_show.CALLS]
        self.server = Server(programs, HOME / "server", free_port(port), more=watch)
        self.cameras: dict[str, Camera] = {}
        self.octoprint: OctoPrintHost | None = None
        self.klipper: Klipper | None = None
        self.agent: KlipperAgent | None = None
        self.printers: dict[str, int] = {}
        self._programs = programs
        self._processes: list[Process] = []
        self._stops: list[tuple[str, Callable[[], object]]] = []
        self._with_octoprint = only in {None, "octoprint"}
        self._with_klipper = only in {None, "klipper"}

    # --- coming up ---

    def start(self) -> None:
        self._begin("the server", self.server.process, self.server.start, self.server.stop)
        self.server.set_up(self.password)
        if self._with_octoprint:
            self._start_octoprint()
        if self._with_klipper:
            self._start_klipper()

    def _start_octoprint(self) -> None:
        folder = HOME / "octoprint"
        folder.mkdir(parents=True)
        port = free_port()
        # The key is made while OctoPrint is prepared, which needs the camera's address: filled in below.
        camera = Camera(self._programs, folder, "OctoPrint", f"http://127.0.0.1:{port}/api/job", ["X-Api-Key: -"])
        setup = OctoPrintSetup(
            venv=envs.VENVS / "octoprint1",
            basedir=folder / "basedir",
            port=port,
            virtual_printer={"sendWait": False},
            snapshot_url=camera.snapshot_url,
            stream_url=camera.stream_url,
        )
        host = OctoPrintHost(setup)
        envs.say("starting OctoPrint and its camera")
        host.prepare()
        camera.process.command[-1] = f"X-Api-Key: {host.api_key}"
        self.cameras["OctoPrint"] = camera
        self._begin("", camera.process, camera.start, camera.stop)
        self.octoprint = host
        self._stops.append(("OctoPrint", host.stop))
        host.start()
        self._link_octoprint(host)

    def _start_klipper(self) -> None:
        folder = Path(self._short.name)
        logs = HOME / "klipper"
        logs.mkdir(parents=True)
        port = free_port()
        query = "/printer/objects/query?display_status&print_stats"
        camera = Camera(self._programs, logs, "Klipper", f"http://127.0.0.1:{port}{query}")
        self.cameras["Klipper"] = camera
        klipper = Klipper(self._programs, folder, speed=self.speed, camera=camera, port=port)
        for process in (klipper.standin, klipper.moonraker):
            process.log = logs / process.log.name
        klipper.prepare()
        self.klipper = klipper
        envs.say("starting Klipper's stand-in, Moonraker and their camera")
        self._begin("", camera.process, camera.start, camera.stop)
        self._stops.append(("Moonraker", klipper.stop))
        self._processes += [klipper.standin, klipper.moonraker]
        klipper.start()
        agent = KlipperAgent(self._programs, folder, klipper.port)
        agent.process.log = logs / "agent.log"
        agent.prepare(self.server.url)
        self.agent = agent
        agent.link(self.server.url, self.server.rest.new_code())
        self._begin("the Moonraker agent", agent.process, agent.start, agent.stop)
        self._name_newest("Klipper")

    def _link_octoprint(self, host: OctoPrintHost) -> None:
        """As the plugin's settings page does."""
        body = {"command": "link", "server": self.server.url, "code": self.server.rest.new_code()}
        host.post("/api/plugin/obico", body)

        def linked() -> bool:
            status = host.get("/api/plugin/obico")
            said = status.get("said")
            if said and not said["ok"]:
                raise Trouble(f"OctoPrint's plugin could not be linked: {said['text']}")
            return bool(status["connected"])

        wait_for(linked, 30, f"OctoPrint's plugin to be linked (see {host.log})", 0.2)
        self._name_newest("OctoPrint")

    def _name_newest(self, name: str) -> None:
        rest = self.server.rest
        number = max(printer["id"] for printer in rest.printers())
        rest.patch(f"/api/v1/printers/{number}/", {"name": name})
        self.printers[name] = number
        envs.say(f"{name} is linked as printer {number}")

    def _begin(
        self, name: str, process: Process, start: Callable[[], object], stop: Callable[[], object]
    ) -> None:
        if name:
            envs.say(f"starting {name}")
        self._processes.append(process)
        self._stops.append((process.name, stop))
        start()

    def add_farm(self, slower: float) -> farm_show.FarmShow:
        """Simulated printers beside what is up."""
        show = farm_show.FarmShow(self.server, self._programs, HOME / "farm", list(self.printers), slower)
        self._stops.append(("the simulated farm", show.stop))
        show.start()
        self._processes += show.processes
        return show

    # --- being up ---

    def files(self, octoprint_speed: float) -> dict[str, str]:
        """A vase for each printer that is there."""
        slower = octoprint_speed / VIRTUAL_PRINTER_HASTE
        marlin = re.sub(r"\bF(\d+)", lambda found: f"F{int(found[1]) * slower:.0f}", make_gcode.marlin(self.layers))
        texts = {"OctoPrint": marlin, "Klipper": make_gcode.klipper(self.layers)}
        return {name: text for name, text in texts.items() if name in self.printers}

    def watch(self) -> None:
        """Returns never; raises Trouble when a part has ended by itself."""
        self.watch_until(lambda: False)

    def watch_until(self, condition: Callable[[], bool]) -> None:
        """Raises Trouble as `watch`."""
        while not condition():
            self.look()
            _PAUSE.wait(0.5)

    def feed(self) -> list[Feeder]:
        """Pictures for failure detection, faster than agents post them."""
        return [
            Feeder(self.server.rest, self.printers[name], camera.snapshot_url)
            for name, camera in self.cameras.items()
        ]

    def look(self) -> None:
        for process in self._processes:
            process.check()
        host = self.octoprint
        # WNOWAIT: only to look; OctoPrintHost collects it.
        if host is not None and os.waitid(os.P_PID, host.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            log = host.basedir / "output.log"
            raise Trouble(f"OctoPrint ended by itself; its log, {log}, ends with\n{tail(log)}")

    def stop(self) -> None:
        """Asks all to end at once, then waits for each; none is left."""
        for process in reversed(self._processes):
            process.ask_to_stop()
        for name, stop in reversed(self._stops):
            try:
                stop()
            except (Trouble, OctoPrintTrouble, OSError) as error:  # noqa: PERF203 - one must not keep the others
                print(f"{name} did not end properly: {error}", file=sys.stderr)
        self._short.cleanup()


def play(demo: Demo, *, failing: bool) -> int:
    """For a person: start a print on each, say where to look, and stay until Ctrl-C; `failing`: they come to grief."""
    past = seed_history(demo.server.data_dir, demo.printers.values())
    envs.say(f"{len(past)} prints of past days are there; the server builds their time-lapses now")
    for name, text in demo.files(demo.speed).items():
        envs.say(f"printing vase.gcode ({demo.layers} layers) on {name}")
        if name == "OctoPrint" and demo.octoprint is not None:
            check_hosts.start_analysed(demo.octoprint, "vase.gcode", text)
        elif demo.klipper is not None:
            demo.klipper.upload("vase.gcode", text.encode())
            demo.klipper.print("vase.gcode")
    print(f"\n  The live page   {demo.server.url}/\n  name            demo\n  password        {demo.password}\n")
    if demo.octoprint is not None:
        setup = demo.octoprint.setup
        print(f"  OctoPrint       {demo.octoprint.url}/  ({setup.user} / {setup.password})")
    if demo.klipper is not None:
        print(f"  Moonraker       {demo.klipper.url}/")
    print(f"\n  Logs are in {HOME}. Ctrl-C ends all of it.\n", flush=True)
    if failing:
        demo.feed()
        envs.say(f"at {FAIL_FROM:g} % a print fails; the server should see it, alert, pause and say why")
        for name, camera in demo.cameras.items():
            demo.watch_until(partial(check_failing.has_come, demo.server.rest, demo.printers[name], FAIL_FROM))
            fail(camera.url, FAILURE)
            envs.say(f"{name}'s print fails now: look at the live page")
    demo.watch()
    return 0


def self_check(demo: Demo, *, failing: bool) -> int:
    """Without a person: 0 if everything was as wanted; `failing`: the prints come to grief and must be paused."""
    rest = demo.server.rest
    table = Table()
    texts = demo.files(FAIL_OCTOPRINT_SPEED if failing else CHECK_OCTOPRINT_SPEED)
    hosts: dict[str, check_hosts.Host] = {}
    for name, text in texts.items():
        if name == "OctoPrint" and demo.octoprint is not None:
            hosts[name] = check_hosts.OctoPrintPrinter(demo.octoprint, "vase.gcode", text)
        elif demo.klipper is not None and demo.agent is not None:
            kind = check_hosts.UnheldKlipperHost if failing else check_hosts.KlipperHost
            hosts[name] = kind(demo.klipper, demo.agent.process.log, "vase.gcode", text)
    parts = [(table, rest, host, demo.printers[name], "vase.gcode") for name, host in hosts.items()]
    viewer = Viewer(demo.server.url, rest.key or "")
    begun = time.monotonic()
    print("checking", flush=True)
    feeders = demo.feed() if failing else []
    try:
        if failing:
            past = seed_history(demo.server.data_dir, list(demo.printers.values())[:1])
            show = [partial(fail, demo.cameras[name].url) for name in hosts]
            check_failing.run_failing(
                table, [check_failing.FailingCheck(*each) for each in parts], show, FAILURE, FAIL_FROM
            )
            check_failing.history_has_videos(table, rest, past)
        else:
            check.run(table, [check.Check(*each) for each in parts], len(parts) - 1, 120)
        demo.look()
    finally:
        viewer.close()
        for feeder in feeders:
            feeder.close()
    _sum_up(table, begun)
    return 1 if table.misses else 0


def _sum_up(table: Table, begun: float) -> None:
    print(f"\n{table}\n\n{len(table.rows)} rows, {table.misses} missed, {time.monotonic() - begun:.0f} s", flush=True)


def farm(demo: Demo, *, checked: bool) -> int:
    """The farm (demo/farm/show.py); for a person it goes on until Ctrl-C."""
    begun = time.monotonic()
    show = demo.add_farm(1.0 if checked else FARM_SLOWER)
    if checked:
        table = farm_show.check(show, demo.look)
        _sum_up(table, begun)
        return 1 if table.misses else 0
    show.play()
    print(f"  The live page is {demo.server.url}/ (demo / {demo.password}). Ctrl-C ends all of it.\n", flush=True)
    demo.watch()
    return 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    add = parser.add_argument
    add("--check", action="store_true", help="drive everything without a person, print a table, exit 1 on any miss")
    add("--fail", action="store_true", help="let the prints fail after a while, for failure detection to see")
    add("--farm", action="store_true", help="ten simulated printers more, and a queue of 30 jobs for all")
    add("--keep", action="store_true", help="with --check: leave everything running afterwards, until Ctrl-C")
    add("--speed", type=_speed, help=f"times real speed (default {DEMO_SPEED:g}, with --check {CHECK_SPEED:g})")
    add("--layers", type=int, choices=range(6, 801), metavar="6..800",
        help=f"of the printed vase (default {DEMO_LAYERS}, with --check {CHECK_LAYERS})")  # fmt: skip
    add("--port", type=int, default=PORT, help=f"of the server, if free (default {PORT})")
    add("--only", choices=("octoprint", "klipper"), help="one kind of printer")
    add("--no-install", action="store_true", help="take the virtual environments as they are")
    return parser


def _speed(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 100:
        raise argparse.ArgumentTypeError("the speed must be 0.1 to 100")
    return value


def main(argv: list[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    begun = time.monotonic()
    try:
        only = _set_up(args.only, install=not args.no_install)
        envs.say(f"set up in {time.monotonic() - begun:.0f} s")
        return _run(args, only)
    except envs.CannotSetUp as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ended", flush=True)
        return 130 if args.check else 0


def _set_up(only: str | None, *, install: bool) -> str | None:
    """What to run; OctoPrint alone where Moonraker cannot be."""
    if only != "octoprint":
        missing = envs.sodium()
        if missing and only == "klipper":
            raise envs.CannotSetUp(missing)
        if missing:
            print(f"\n{missing}\nUntil then: going on with OctoPrint only.\n", file=sys.stderr, flush=True)
            only = "octoprint"
    if install:
        leave_out = {"octoprint": envs.KLIPPER, "klipper": ("octoprint1",)}.get(only or "", ())
        envs.make([name for name in envs.DEMO if name not in leave_out])
    return only


def _run(args: argparse.Namespace, only: str | None) -> int:
    if HOME.exists():
        shutil.rmtree(HOME)
    HOME.mkdir()
    speed = args.speed or (FAIL_SPEED if args.fail else CHECK_SPEED if args.check else DEMO_SPEED)
    layers = args.layers or (FAIL_LAYERS if args.fail else CHECK_LAYERS if args.check else DEMO_LAYERS)
    demo = Demo(port=args.port, speed=speed, layers=layers, only=only, fail=args.fail)
    try:
        demo.start()
        if args.farm:
            return farm(demo, checked=args.check)
        if not args.check:
            return play(demo, failing=args.fail)
        status = self_check(demo, failing=args.fail)
        if args.keep:
            print(f"\nstill running at {demo.server.url}/ (demo / {demo.password}); Ctrl-C ends it", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                demo.watch()
        return status  # noqa: TRY300 - what the except clause names can come from any line above
    except (Trouble, Refused, OctoPrintTrouble) as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    finally:
        # A second Ctrl-C must not leave programs behind; each part has its own few seconds to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
