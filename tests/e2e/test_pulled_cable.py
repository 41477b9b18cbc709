"""A pulled cable: packets vanish between two network namespaces while both sockets stay open."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from demo.parts import Klipper, KlipperAgent, Server, from_sources
from demo.processes import wait_for
from moonraker_obico.cli import status_socket
from tests.e2e import rig
from tests.e2e.conftest import Fleet

LIMIT = 45.0
"""s, the issue's; measured from the first lost packet."""

pytestmark = [pytest.mark.netns, pytest.mark.moonraker, pytest.mark.timeout(240)]


def command(*words: str) -> bool:
    """Whether it went well; what it says is not wanted."""
    try:
        return subprocess.run(words, capture_output=True, timeout=20).returncode == 0
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class Net:
    """Two namespaces with a cable, and a second cable from here to the server's, on which the test looks on.

    Addresses are of 198.18.0.0/15, which is set aside for tests of networks.
    """

    server: str
    agent: str

    server_address = "198.18.77.1"
    agent_address = "198.18.77.2"
    server_for_us = "198.18.78.1"
    our_address = "198.18.78.2"

    @classmethod
    def make(cls) -> Net:
        """Skips the test where that is not possible."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("network namespaces need root and iproute2")
        unique = f"{os.getpid() % 10000}"
        net = cls(f"oba{unique}", f"obb{unique}")
        for name in (net.server, net.agent):
            if not command("ip", "netns", "add", name):
                net.remove()
                pytest.skip("this kernel gives us no network namespaces")
            command("ip", "-n", name, "link", "set", "lo", "up")
        cable, ours = f"obc{unique}", f"obd{unique}"
        steps = [
            ("ip", "-n", net.server, "link", "add", cable, "type", "veth", "peer", "name", cable, "netns", net.agent),
            ("ip", "-n", net.server, "addr", "add", f"{net.server_address}/24", "dev", cable),
            ("ip", "-n", net.agent, "addr", "add", f"{net.agent_address}/24", "dev", cable),
            ("ip", "link", "add", ours, "type", "veth", "peer", "name", ours, "netns", net.server),
            ("ip", "addr", "add", f"{net.our_address}/24", "dev", ours),
            ("ip", "-n", net.server, "addr", "add", f"{net.server_for_us}/24", "dev", ours),
            ("ip", "-n", net.server, "link", "set", cable, "up"),
            ("ip", "-n", net.agent, "link", "set", cable, "up"),
            ("ip", "-n", net.server, "link", "set", ours, "up"),
            ("ip", "link", "set", ours, "up"),
        ]
        if not all(command(*step) for step in steps):
            net.remove()
            pytest.skip("this kernel gives us no veth pair")
        return net

    def remove(self) -> None:
        """With the namespaces goes their cable; ours is taken by itself, since a namespace may take its time."""
        command("ip", "link", "del", self.server.replace("oba", "obd"))
        for name in (self.server, self.agent):
            command("ip", "netns", "del", name)

    def inside(self, name: str, words: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", name, *words]

    def pull(self) -> str:
        """From now on nothing passes, and nobody is told; what did it. Skips the test if nothing can."""
        table = "table inet pulled { chain i { type filter hook input priority 0; iif != lo drop; }; "
        table += "chain o { type filter hook output priority 0; oif != lo drop; }; }"
        if command(*self.inside(self.agent, ["nft", table])):
            return "nft"
        ways = (("INPUT", "-i"), ("OUTPUT", "-o"))
        rules = [["iptables", "-I", chain, "!", side, "lo", "-j", "DROP"] for chain, side in ways]
        if all(command(*self.inside(self.agent, rule)) for rule in rules):
            return "iptables"
        pytest.skip("neither nft nor iptables can drop packets here")

    def plug_in(self) -> None:
        command(*self.inside(self.agent, ["nft", "flush", "ruleset"]))
        command(*self.inside(self.agent, ["iptables", "-F"]))


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net.make()
    yield made
    made.remove()


def test_noticed_on_both_sides(
    net: Net, tmp_path: Path, short_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Fleet.possible("klipper"):
        pytest.skip("there is no Moonraker here (make envs)")
    plain = from_sources()
    programs = replace(
        plain,
        server=net.inside(net.server, plain.server),
        agent=net.inside(net.agent, plain.agent),
        moonraker=net.inside(net.agent, plain.moonraker),
    )
    server = Server(programs, tmp_path, host="0.0.0.0")
    server.rest.url = f"http://{net.server_for_us}:{server.port}"
    klipper = Klipper(programs, short_folder / "cable", speed=20)
    agent = KlipperAgent(programs, short_folder / "cable", klipper.port)
    address = f"http://{net.server_address}:{server.port}"
    try:
        server.start()
        server.set_up(rig.PASSWORD)
        klipper.prepare()
        klipper.start_klippy()
        klipper.moonraker.start()  # it can be reached from its own namespace only
        agent.prepare(address)
        agent.link(address, server.rest.new_code())
        agent.start()
        rest = server.rest
        (number,) = (printer["id"] for printer in rest.printers())
        rest.wait_for_printer(
            number, lambda p: p["status"] and p["status"]["state"]["flags"]["operational"], 40, "the printer"
        )
        (klipper.gcodes / "cable.gcode").write_text(rig.klipper_file(), encoding="utf-8")
        klipper.control.hold(rig.HOLD)
        klipper.control.script("SDCARD_PRINT_FILE FILENAME=cable.gcode")
        current = rest.wait_for_printer(number, lambda p: p["current_print"], 40, "the Print")["current_print"]

        how = net.pull()
        pulled = time.monotonic()
        seen: dict[str, float] = {}

        def look() -> bool:
            shown = rest.printer(number)
            if "server" not in seen and not shown["agent_connected"]:
                assert shown["status"] is None
                seen["server"] = time.monotonic() - pulled
            told = status_socket.ask(agent.data_dir / "status.sock")
            if "agent" not in seen and told is not None and told["link"]["state"] != "connected":
                seen["agent"] = time.monotonic() - pulled
            return len(seen) == 2

        wait_for(look, LIMIT + 20, "both sides to notice the pulled cable", every=0.25)
        shown = rest.printer(number)
        assert shown["status"] is None, "the REST API shows an offline printer without a status"
        assert shown["current_print"]["id"] == current["id"], "that nobody hears of a print does not end it"

        net.plug_in()
        plugged = time.monotonic()
        rest.wait_for_printer(
            number, lambda p: p["agent_connected"] and p["status"] and p["status"]["state"]["text"] == "Printing",
            60, "the printer's return",
        )  # fmt: skip
        back = time.monotonic() - plugged
        klipper.control.release()
        wait_for(lambda: rest.get(f"/api/v1/prints/{current['id']}/")["ended_reason"] == "done", 60, "the print's end")
        with capsys.disabled():
            print(f"\n  packets dropped by {how}: server noticed after {seen['server']:.1f} s, agent after "
                  f"{seen['agent']:.1f} s (limit {LIMIT:g} s); back {back:.1f} s after the cable")  # fmt: skip
        assert max(seen.values()) < LIMIT, seen
    finally:
        agent.stop()
        klipper.stop()
        server.stop()
