"""The command line of the klippy stand-in: `python -m demo.klippy_standin --socket PATH --gcodes DIR`.

Prints one line "ready" when its socket listens, ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from demo.klippy.host import Host
from demo.klippy.options import Options
from demo.klippy.server import Server


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def arguments() -> argparse.ArgumentParser:
    """Every option, with its default."""
    defaults = Options(gcodes=Path())
    parser = argparse.ArgumentParser(
        prog="python -m demo.klippy_standin",
        description="A stand-in for Klipper's host process: speaks Klippy's API socket to Moonraker and models a "
        "Cartesian 200x200x180 mm printer with one hotend, a bed, a fan and a filament sensor.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--socket", type=Path, required=True, help="unix socket to listen on (Moonraker: klippy_uds_address)")
    add("--gcodes", type=Path, required=True, help="folder of the G-code files (Moonraker's gcodes folder)")
    add("--control", type=Path, help="second unix socket for tests, see demo/klippy_control.py")
    add("--speed", type=_positive, default=20.0, help="how many times faster than real motion and heating are")
    add("--macros", choices=("plain", "client"), default="plain", help="built-in PAUSE/RESUME/CANCEL_PRINT, or macros "
        "that retract, lift and park, as front ends ship them")  # fmt: skip
    add("--on-error-gcode", choices=("cancel", "none"), default="cancel", help="what a refused line in a file does: "
        "CANCEL_PRINT (state cancelled), or Klipper's default (state error)")  # fmt: skip
    add("--idle-timeout", type=_positive, default=600.0, help="seconds until heaters and motors go off when idle")
    add("--tick", type=_positive, default=defaults.tick, help="seconds between two status updates")
    add("--restart-delay", type=_positive, default=defaults.restart_delay, help="seconds RESTART waits before it acts")
    add("--refuse-time", type=_positive, default=defaults.refuse_time, help="seconds the socket refuses in a RESTART")
    add("--startup-time", type=_positive, default=defaults.startup_time, help="seconds in the state startup")
    add("--mcu-loss-time", type=_positive, default=defaults.mcu_loss_time, help="seconds until a lost MCU is noticed")
    add("--mcu-retry-time", type=_positive, default=defaults.mcu_retry_time, help="seconds between tries to reach it")
    add("--mcu-give-up-time", type=_positive, default=defaults.mcu_give_up_time, help="seconds of trying until error")
    add("--mcu-shutdown", action="store_true", help="start with the MCU shut down, as after a kill in mid-print: "
        "comes up in error, FIRMWARE_RESTART helps")  # fmt: skip
    add("--config-error", metavar="TEXT", help="start with a broken printer.cfg, TEXT being the error")
    return parser


def options_of(args: argparse.Namespace) -> Options:
    return Options(
        gcodes=args.gcodes.resolve(),
        speed=args.speed,
        client_macros=args.macros == "client",
        cancel_on_error=args.on_error_gcode == "cancel",
        idle_timeout=args.idle_timeout,
        tick=args.tick,
        restart_delay=args.restart_delay,
        refuse_time=args.refuse_time,
        startup_time=args.startup_time,
        mcu_loss_time=args.mcu_loss_time,
        mcu_retry_time=args.mcu_retry_time,
        mcu_give_up_time=args.mcu_give_up_time,
        mcu_shutdown=args.mcu_shutdown,
        config_error=args.config_error,
    )


def main(argv: list[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    if not args.gcodes.is_dir():
        print(f"{args.gcodes} is no folder: create it, or name Moonraker's gcodes folder", file=sys.stderr)
        return 2
    server = Server(Host(options_of(args), time.monotonic), args.socket, args.control)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda _signum, _frame: server.stop())
    try:
        server.open()
    except OSError as error:
        print(f"Cannot listen on {args.socket}: {error.strerror or error}", file=sys.stderr)
        return 1
    print("ready", flush=True)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
