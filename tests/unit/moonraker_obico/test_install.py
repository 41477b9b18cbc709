"""The installer's pure parts, and its undo; the whole of it is in tests/contract/test_install.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from moonraker_obico.config import load, read
from moonraker_obico.install import apply, look, remove, texts, units
from moonraker_obico.install.__main__ import main
from moonraker_obico.install.plan import Change, Plan
from moonraker_obico.install.record import NAME, Record
from moonraker_obico.install.system import Ran, System, Trouble, write
from moonraker_obico.install.units import Printer, Runs


class FakeSystem(System):
    """Runs nothing: keeps what it was asked, and answers by `codes` (the default is 0)."""

    def __init__(self, home: Path) -> None:
        super().__init__(home=home, unit_dir=home / "units", yes=True, environ={"PATH": ""}, uid=1000)
        self.asked: list[str] = []
        self.codes: dict[str, int] = {}
        self.power_goes_at = ""
        self.told: list[str] = []

    def say(self, text: str = "") -> None:
        self.told.append(text)

    def run(self, arguments: object, *, timeout: float = 0.0) -> Ran:
        words = " ".join(str(word) for word in arguments)  # type: ignore[attr-defined]
        self.asked.append(words)
        if self.power_goes_at and self.power_goes_at in words:
            raise SystemExit
        if " -m venv " in words:
            Path(words.rpartition(" ")[2]).mkdir()
        return Ran(next((code for part, code in self.codes.items() if part in words), 0), "")

    def run_as_root(self, arguments: object) -> None:
        done = self.run(arguments)
        if done.code:
            raise Trouble("refused")


@pytest.mark.parametrize(
    "conf",
    ["", "[server]\nport: 7125\n", "[server]\nport: 7125", "\n\n", "[server]\r\nport: 7\r\n", "# a comment\n\n"],
)
def test_the_include_line_comes_and_goes_without_a_trace(conf: str) -> None:
    changed = texts.with_include(conf, "a.cfg")
    assert texts.has_include(changed, "a.cfg")
    assert texts.with_include(changed, "a.cfg") == changed
    without = texts.without_include(changed, "a.cfg")
    assert without.rstrip() == conf.rstrip()
    assert not texts.has_include(without, "a.cfg")
    assert not texts.has_include("#[include a.cfg]\n[include ab.cfg]\n", "a.cfg")
    assert texts.has_include("[include a.cfg]  # ours\n", "a.cfg")


def test_a_line_of_the_allowed_services() -> None:
    assert texts.with_line("a\nb", "c") == "a\nb\nc\n"
    assert texts.with_line("a\nc.service\n", "c") == "a\nc.service\n"
    assert texts.without_line("a\nc.service\nb\n", "c") == "a\nb\n"


def test_where_moonraker_is() -> None:
    assert texts.address("[server]\nhost: 0.0.0.0\nport: 7126 # second\n") == ("127.0.0.1", 7126)
    assert texts.address("[x]\nport: 1\n[server]\nhost = 10.0.0.3\n[authorization]\nport: 5\n") == ("10.0.0.3", None)
    assert texts.address("") == ("127.0.0.1", None)
    assert texts.address("[server]\nport: 99999\nhost: all\n") == ("127.0.0.1", None)


def test_the_update_section_of_each_moonraker() -> None:
    checkout = texts.Checkout("/home/pi/obico", "https://example.org/obico.git", "main")
    new = texts.update_section(checkout, "/home/pi/env", texts.version("0.11.0")) or ""
    assert "[update_manager moonraker-obico]\ntype: git_repo\n" in new
    assert "\nvirtualenv: /home/pi/env\n" in new
    old = texts.update_section(checkout, "/home/pi/env", texts.version("v0.8.0-12-gabcdef")) or ""
    assert "\nenv: /home/pi/env/bin/python\n" in old
    assert "virtualenv" not in old
    package = texts.Package("OctoPrint-Obico")
    assert "\ntype: python\n" in (texts.update_section(package, "/e", texts.version("v0.9.3-1")) or "")
    assert texts.update_section(package, "/e", (0, 8)) is None
    assert texts.version("?") > (1, 0)  # what cannot be read is taken for today's


def test_a_new_configuration_is_one_that_the_agent_reads(tmp_path: Path) -> None:
    path = tmp_path / "printer_data" / "config" / "moonraker-obico.cfg"
    config = read(texts.agent_config("127.0.0.1", 7126, "/var/log/x.log"), path, {})
    assert (config.moonraker_port, config.token, config.log_path) == (7126, None, Path("/var/log/x.log"))
    assert config.warnings == ()


def test_units_of_one_and_of_several_printers() -> None:
    home = Path("/home/pi")
    runs = Runs("pi", home / "env/bin/moonraker-obico", reads=[home / "env", Path("/usr")], writes=[home / "my data"])
    (name, text), = units.units([Printer(home / "printer_data")], runs).items()
    assert name == "moonraker-obico.service"
    assert f"ExecStart={home}/env/bin/moonraker-obico run -c {home}/printer_data/config/moonraker-obico.cfg\n" in text
    assert 'ReadWritePaths=/home/pi/printer_data "/home/pi/my data"\n' in text
    assert "BindReadOnlyPaths=/home/pi/env\n" in text
    assert "BindReadOnlyPaths=/usr" not in text
    assert "MemoryMax=128M\n" in text
    assert "{" not in text
    several = [Printer(home / "printer_data"), Printer(home / "printer_2_data")]
    made = units.units(several, Runs("pi", Path("/x y/moonraker-obico"), vision=True))
    assert set(made) == {"moonraker-obico.service", "moonraker-obico@.service"}
    template = made["moonraker-obico@.service"]
    assert 'ExecStart="/x y/moonraker-obico" run -c /home/pi/%i_data/config/moonraker-obico.cfg\n' in template
    assert "PartOf=moonraker-obico.service\n" in template
    assert "MemoryMax=256M\n" in template
    assert units.instances(several)[1:] == ["moonraker-obico@printer.service", "moonraker-obico@printer_2.service"]
    with pytest.raises(ValueError, match="side by side"):
        units.units([Printer(home / "printer_data"), Printer(Path("/mnt/printer_2_data"))], runs)


def test_what_fails_is_taken_back(tmp_path: Path) -> None:
    """pip without a network: the folder, the files and the record are as they were."""
    system = FakeSystem(tmp_path)
    place = tmp_path / "obico"
    for name in look.OUR_PACKAGES:
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").touch()
    conf = tmp_path / "printer_data" / "config" / "moonraker.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("[server]\n")
    source = look.source(system, str(place), place)
    venv = tmp_path / "env"
    found = look.Found([], source, venv, True)
    plan = Plan(changes=[Change(conf, "[server]\nnew", "a line")], restart=["moonraker-obico.service"])
    system.codes = {"systemctl restart": 1}
    with pytest.raises(Trouble, match="Everything is as it was"):
        apply.apply(system, found, plan, Record(tmp_path / NAME), None)
    assert conf.read_text() == "[server]\n"
    assert not (tmp_path / NAME).exists()
    system.codes = {"pip install": 1}
    with pytest.raises(Trouble, match="connected to the internet"):
        apply.apply(system, found, Plan(make_venv=True, install=True), Record(tmp_path / NAME), None)
    assert not (tmp_path / NAME).exists()


def test_a_power_cut_in_the_middle_is_repaired_or_removed(tmp_path: Path) -> None:
    """Killed after each step in turn: the next run goes on from there, and --uninstall leaves what was before."""
    conf = tmp_path / "printer_data" / "config" / "moonraker.conf"
    conf.parent.mkdir(parents=True)
    update = conf.with_name(texts.UPDATE_FILE)
    section = f"{texts.MARK}\n[update_manager moonraker-obico]\ntype: git_repo\n"
    printer = [look.FoundPrinter(Printer(tmp_path / "printer_data"), "", None)]
    for power_goes_at in ("compileall", "systemctl daemon-reload", "systemctl enable", "systemctl restart"):
        conf.write_text("[server]\nport: 7125")
        system = FakeSystem(tmp_path)
        system.power_goes_at = power_goes_at
        place = tmp_path / "obico"
        place.mkdir(exist_ok=True)
        found = look.Found(printer, look.Source(place, "1"), tmp_path / "env", True)
        changes = [Change(update, section, ""), Change(conf, texts.with_include(conf.read_text(), update.name), "")]
        plan = Plan(changes=changes, enable=["moonraker-obico.service"], restart=["moonraker-obico.service"])
        plan.root_changes = [Change(tmp_path / "units" / units.UNIT, f"{texts.MARK}\n", "", root=True)]
        with pytest.raises(SystemExit):
            apply.apply(system, found, plan, Record.load(tmp_path), None)
        assert not texts.has_include(conf.read_text(), update.name) or update.exists()  # Moonraker starts
        record = Record.load(tmp_path)
        assert record.revision == ""  # so the next run restarts the service
        system.power_goes_at = ""
        gone = remove.look(system, printer, record, tmp_path / "env", place)
        remove.carry_out(system, gone, record, purge=False)
        assert conf.read_text() == "[server]\nport: 7125"
        assert not update.exists()
        assert not (tmp_path / NAME).exists()


def test_the_first_state_of_a_file_is_what_counts(tmp_path: Path) -> None:
    record = Record.load(tmp_path)
    record.keep(Path("/a"), "first\udcff", 0o644, "second")
    record.keep(Path("/a"), "second", 0o644, "third")
    record.save()
    again = Record.load(tmp_path)
    assert (again.files["/a"].before, again.files["/a"].after) == ("first\udcff", "third")
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / NAME).write_text("{torn")
    assert Record.load(tmp_path).files == {}


def test_removal_keeps_what_was_there_before(tmp_path: Path) -> None:
    """Without any record: only what bears the installer's mark goes."""
    system = FakeSystem(tmp_path)
    system.unit_dir.mkdir()
    printer = Printer(tmp_path / "printer_data")
    found = [look.FoundPrinter(printer, "", None)]
    printer.config.parent.mkdir(parents=True)
    printer.moonraker_conf.write_text("[server]\n\n[include moonraker-obico-update.cfg]\n")
    (printer.config.parent / texts.UPDATE_FILE).write_text("[update_manager moonraker-obico]\n")
    printer.config.write_text("[server]\nurl: https://app.obico.io\n")
    (system.unit_dir / units.UNIT).write_text("[Unit]\n")
    gone = remove.look(system, found, Record.load(tmp_path), tmp_path / "env", tmp_path)
    assert gone.empty
    assert gone.own == []
    write(printer.config.parent / texts.UPDATE_FILE, f"{texts.MARK}\n")
    gone = remove.look(system, found, Record.load(tmp_path), tmp_path / "env", tmp_path)
    remove.carry_out(system, gone, Record.load(tmp_path), purge=True)
    assert printer.moonraker_conf.read_text() == "[server]\n"
    assert not (printer.config.parent / texts.UPDATE_FILE).exists()
    assert load(printer.config, {}).server_url == "https://app.obico.io"


def test_not_with_sudo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = FakeSystem(tmp_path)
    system.uid, system.environ = 0, {"SUDO_USER": "pi", "PATH": ""}
    assert main(["--yes"], system) == 1
    assert "Run it without sudo, as pi" in capsys.readouterr().err


def test_a_wheel_and_what_is_neither(tmp_path: Path) -> None:
    system = FakeSystem(tmp_path)
    with pytest.raises(Trouble, match="neither a checkout"):
        look.source(system, str(tmp_path / "x.whl"), tmp_path)
    with pytest.raises(Trouble, match="does not hold the agent"):
        look.source(system, str(tmp_path), tmp_path)
    package = look.source(system, "git+https://github.com/somebody/obico@v3", tmp_path)
    assert package.package is not None
    assert not package.is_checkout
