"""install.sh as a user runs it, on a made-up home with stand-ins for systemctl; root's part lands in a made-up /etc.

A real boot of a real system with the real units is scripts/try-install.sh.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

# Virtual environments are made and compiled: seconds, but on a busy machine many of them.
pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[2]
PUBLIC_CONFIG = """\
[server]
url = https://app.obico.io
auth_token = 0123456789abcdef0123

[moonraker]
host = 127.0.0.1
port = 7125

[logging]
path = {logs}/moonraker-obico.log
"""
PUBLIC_UNIT = "[Unit]\nDescription=of another agent\n[Service]\nExecStart=/bin/true\n"

SYSTEMCTL = """\
#!/bin/sh
# Keeps what is enabled as files in $STATE; `restart` and `enable --now` make a service active.
echo "systemctl $*" >> "$STATE/calls"
[ "$FAIL_AT" = "$1" ] && { echo "refused by the test" >&2; exit 1; }
verb=$1; shift
case $verb in
    is-enabled) [ -e "$STATE/enabled.$2" ] ;;
    is-active) [ -e "$STATE/active.$2" ] ;;
    enable) for name; do case $name in --now) ;; *) touch "$STATE/enabled.$name" ;; esac; done ;;
    disable) for name; do rm -f "$STATE/enabled.$name" "$STATE/active.$name"; done ;;
    restart) touch "$STATE/active.$1"
        case $1 in moonraker-obico.service)
            for each in "$STATE"/enabled.moonraker-obico@*; do
                if [ -e "$each" ]; then touch "$STATE/active.${each#*enabled.}"; fi
            done ;;
        esac ;;
esac
exit $?
"""


class World:
    """A home with printers, a folder for units, a systemctl, and packages without any index."""

    def __init__(self, folder: Path, source: Path, names: tuple[str, ...] = ("printer",)) -> None:
        self.home, self.units, self.state = folder / "home", folder / "units", folder / "state"
        self.bin, self.wheels, self.source = folder / "bin", folder / "wheels", source
        for made in (self.home, self.units, self.state, self.bin, self.wheels):
            made.mkdir()
        (self.bin / "systemctl").write_text(SYSTEMCTL)
        (self.bin / "systemctl").chmod(0o755)
        stub_wheel(self.wheels)
        for number, name in enumerate(names):
            data = self.home / f"{name}_data"
            for part in ("config", "logs", "gcodes"):
                (data / part).mkdir(parents=True)
            # No end of line at the end of one: it has to be as it was afterwards.
            (data / "config" / "moonraker.conf").write_text(
                f"[mqtt]\npassword: hunter2\n[server]\nhost: 0.0.0.0\nport: {17125 + number}  # nobody listens there"
            )
            (data / "moonraker.asvc").write_text("klipper_mcu\nKlipperScreen\n")

    def install(self, *options: str, fail_at: str = "", wheels: Path | None = None) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", str(self.source / "install.sh"), "--unit-dir", str(self.units),
             "--wheelhouse", str(wheels or self.wheels), *options],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "SUDO_"))},
                "HOME": str(self.home),
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "STATE": str(self.state),
                "FAIL_AT": fail_at,
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout

    def calls(self) -> list[str]:
        """What systemctl was asked to change, since the last look."""
        log = self.state / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line for line in lines if " is-" not in line]

    def tree(self) -> dict[str, str]:
        """Everything in the home and among the units, but for what pyenv and the like leave there."""
        found = {}
        for base in (self.home, self.units):
            for path in sorted(base.rglob("*")):
                name = str(path)
                if ".rustup" in path.parts:
                    continue
                if path.is_symlink():
                    found[name] = f"link {path.readlink()}"
                elif path.is_file():
                    found[name] = f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
                else:
                    found[name] = "folder"
        return found


def stub_wheel(folder: Path) -> None:
    """What stands for websocket-client: pip wants a package of that name, the agent's `--version` imports nothing of
    it.
    """
    info = "websocket_client-1.8.0.dist-info"
    with zipfile.ZipFile(folder / "websocket_client-1.8.0-py3-none-any.whl", "w") as made:
        made.writestr("websocket/__init__.py", "")
        made.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: websocket-client\nVersion: 1.8.0\n")
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nTag: py3-none-any\nRoot-Is-Purelib: true\n")
        made.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our sources in a repository that was cloned from another."""
    base = tmp_path_factory.mktemp("clone")
    upstream, place = base / "upstream", base / "obico"
    upstream.mkdir()
    for name in ("agent_core", "moonraker_obico"):
        shutil.copytree(ROOT / name, upstream / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "install.sh", upstream)
    (upstream / ".gitignore").write_text("__pycache__/\n")

    def git(*words: str | Path) -> None:
        told = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *map(str, words)], check=True,
                       env={**os.environ, **told}, stdout=subprocess.DEVNULL)  # fmt: skip

    git("init", "-q", "-b", "main", upstream)
    git("-C", upstream, "add", "-A")
    git("-C", upstream, "commit", "-q", "-m", "all")
    git("clone", "-q", upstream, place)
    return place


def verified(world: World) -> str:
    """What systemd-analyze has to say against our units; nothing is expected."""
    names = [path for path in sorted(world.units.glob("moonraker-obico*.service")) if "Obico" in path.read_text()]
    done = subprocess.run(["systemd-analyze", "verify", *names], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60)  # fmt: skip
    return "\n".join(line for line in done.stdout.splitlines() if "moonraker-obico" in line)


def test_one_printer_with_an_agent_from_before(tmp_path: Path, clone: Path) -> None:
    """Install, again, repair, uninstall: the other agent's settings are used as they are, and it all comes back."""
    world = World(tmp_path, clone)
    data = world.home / "printer_data"
    config = data / "config" / "moonraker-obico.cfg"
    config.write_text(PUBLIC_CONFIG.format(logs=data / "logs"))
    (world.units / "moonraker-obico.service").write_text(PUBLIC_UNIT)
    (world.state / "enabled.moonraker-obico.service").touch()
    (world.home / "moonraker-obico-env" / "bin").mkdir(parents=True)
    before = world.tree()

    code, said = world.install("--dry-run")
    assert (code, world.tree(), world.calls()) == (0, before, []), said
    assert "exactly this" in said
    assert "+[include moonraker-obico-update.cfg]" in said
    assert "hunter2" not in said
    assert "systemctl restart moonraker-obico.service" in said

    code, said = world.install()
    assert (code, world.tree()) == (1, before), said  # nobody could be asked
    assert "use --yes" in said

    code, said = world.install("--yes")
    assert code == 0, said
    assert "Another agent is installed here (moonraker-obico.service)" in said
    assert "printer_data is linked" in said
    assert "0123456789" not in said
    assert config.read_text() == PUBLIC_CONFIG.format(logs=data / "logs")
    assert world.calls() == ["systemctl daemon-reload", "systemctl restart moonraker-obico.service"]
    assert (data / "config" / "moonraker.conf").read_text().endswith("\n\n[include moonraker-obico-update.cfg]\n")
    section = (data / "config" / "moonraker-obico-update.cfg").read_text()
    assert f"\npath: {clone}\n" in section
    assert f"\nvirtualenv: {world.home}/moonraker-obico-env-3\n" in section  # the other agent's was not touched
    assert (data / "moonraker.asvc").read_text() == "klipper_mcu\nKlipperScreen\nmoonraker-obico\n"
    unit = (world.units / "moonraker-obico.service").read_text()
    assert f"run -c {config}\n" in unit
    assert verified(world) == ""
    exposure = ["systemd-analyze", "security", "--offline=true", "--threshold=25"]  # 2.5 of 10; it has 2.1
    judged = subprocess.run([*exposure, world.units / "moonraker-obico.service"], stdout=subprocess.PIPE, timeout=60)
    assert judged.returncode == 0, judged.stdout.decode()[-300:]
    told = subprocess.run([world.home / "moonraker-obico-env-3" / "bin" / "moonraker-obico", "--version"],
                          stdout=subprocess.PIPE, text=True, check=True)  # fmt: skip
    assert told.stdout.startswith("moonraker-obico 3.")

    installed = world.tree()
    code, said = world.install("--yes")
    assert (code, world.tree(), world.calls()) == (0, installed, []), said
    assert "nothing was changed" in said

    (world.units / "moonraker-obico.service").unlink()
    (world.home / "moonraker-obico-env-3" / "bin" / "moonraker-obico").unlink()
    (data / "config" / "moonraker-obico-update.cfg").write_text("torn")
    (world.state / "enabled.moonraker-obico.service").unlink()
    code, said = world.install("--yes")
    assert (code, world.tree()) == (0, installed), said
    assert world.calls()[-1] == "systemctl restart moonraker-obico.service"

    # Somebody added something in the meantime: only our lines go.
    conf = data / "config" / "moonraker.conf"
    conf.write_text(conf.read_text() + "[history]\n")
    code, said = world.install("--yes", "--uninstall", "--purge")
    assert code == 0, said
    after = world.tree()
    server = "[server]\nhost: 0.0.0.0\nport: 17125  # nobody listens there\n"
    assert conf.read_text() == f"[mqtt]\npassword: hunter2\n{server}[history]\n"
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {str(conf)}
    assert (world.state / "enabled.moonraker-obico.service").exists()  # the other agent is back


def test_three_printers_and_a_failure(tmp_path: Path, clone: Path) -> None:
    """One template unit for all; what fails in the middle is taken back; a printer less is a printer less."""
    world = World(tmp_path, clone, ("printer", "printer_2", "printer_voron-2.4"))
    before = world.tree()
    code, said = world.install("--yes", "--macros")
    assert code == 0, said
    names = ["moonraker-obico.service", *(f"moonraker-obico@{name}.service"
                                          for name in ("printer", "printer_2", "printer_voron-2.4"))]  # fmt: skip
    assert world.calls() == [
        "systemctl daemon-reload", f"systemctl enable {' '.join(names)}", "systemctl restart moonraker-obico.service",
    ]  # fmt: skip
    assert verified(world) == ""
    template = (world.units / "moonraker-obico@.service").read_text()
    assert f"run -c {world.home}/%i_data/config/moonraker-obico.cfg\n" in template
    for number, name in enumerate(("printer", "printer_2", "printer_voron-2.4")):
        data = world.home / f"{name}_data"
        assert f"\nport: {17125 + number}\n" in (data / "config" / "moonraker-obico.cfg").read_text()
        assert (data / "moonraker.asvc").read_text().splitlines()[2:] == ["moonraker-obico", f"moonraker-obico@{name}"]
        assert said.count(f"{data}/config/moonraker-obico.cfg") >= 2  # written, and: link it

    installed = world.tree()
    code, said = world.install("--yes", "--macros")
    assert (code, world.tree(), world.calls()) == (0, installed, []), said

    (world.units / "moonraker-obico@.service").unlink()
    (world.home / "printer_data" / "moonraker.asvc").write_text("klipper_mcu\n")
    damaged = world.tree()
    code, said = world.install("--yes", fail_at="daemon-reload")
    assert code == 1, said
    assert "Taking back what was done" in said
    assert world.tree() == damaged
    code, said = world.install("--yes")
    assert code == 0, said

    # Klipper uses the macros of one: that file has to stay.
    printer_cfg = world.home / "printer_data" / "config" / "printer.cfg"
    printer_cfg.write_text("[include obico_macros.cfg]\n")
    code, said = world.install("--yes", "--uninstall")
    assert code == 0, said
    assert "Klipper would not start without it" in said
    kept = {name.removeprefix(f"{world.home}/") for name in world.tree().keys() - before.keys()}
    assert kept == {
        "printer_data/config/printer.cfg", "printer_data/config/obico_macros.cfg",
        *(f"{name}_data/config/moonraker-obico.cfg" for name in ("printer", "printer_2", "printer_voron-2.4")),
    }  # fmt: skip
    printer_cfg.unlink()
    code, said = world.install("--yes", "--uninstall", "--purge")
    assert (code, world.tree()) == (0, before), said
    assert "not installed here" in world.install("--yes", "--uninstall")[1]


def test_what_a_person_needs_to_know(tmp_path: Path, clone: Path) -> None:
    world = World(tmp_path, clone, ())
    code, said = world.install("--help")
    assert code == 0
    assert {"--yes", "--dry-run", "--uninstall", "--purge", "--from"} <= set(re.findall(r"--[a-z-]+", said))
    code, said = world.install("--yes")
    assert code == 1
    assert "No printer was found" in said
    assert "Traceback" not in said
    (world.bin / "python3").write_text("#!/bin/sh\nexit 1\n")
    (world.bin / "python3").chmod(0o755)
    done = subprocess.run(["/bin/sh", str(clone / "install.sh")], env={"PATH": str(world.bin), "HOME": str(world.home)},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)  # fmt: skip
    assert done.returncode == 1
    assert "Python 3.10 or newer is needed" in done.stdout
