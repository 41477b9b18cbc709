"""`moonraker-obico run|link|unlink|status|doctor|support-bundle -c FILE`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from agent_core.errors import ConfigInvalid
from moonraker_obico.cli import exit_codes
from moonraker_obico.version import AGENT_VERSION

DEFAULT_CONFIG = "~/printer_data/config/moonraker-obico.cfg"


def parser() -> argparse.ArgumentParser:
    """Every command and option."""
    top = argparse.ArgumentParser(
        prog="moonraker-obico",
        description="Watch and control a Klipper printer from afar, through a public or self-hosted Obico server.",
        epilog=exit_codes.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {AGENT_VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="run|link|unlink|status|doctor|support-bundle")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=exit_codes.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.add_argument(
            "-c", "--config", metavar="FILE", type=Path, default=Path(DEFAULT_CONFIG).expanduser(),
            help=f"the configuration file (default: {DEFAULT_CONFIG})",
        )  # fmt: skip
        return made

    run = command("run", "run the agent in the foreground, as the systemd unit does; SIGTERM ends it")
    run.add_argument("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR instead of the file's")
    run.add_argument("--log-to-stderr", action="store_true", help="log here, whatever [logging] path says")
    link = command("link", "link this printer to a server: by its page's list, by a passcode or by a six-digit code")
    link.add_argument("--code", help="the six digits that the server's page shows; nothing else is tried then")
    link.add_argument("--server", metavar="URL", help="the server's address; asked for if not given")
    link.add_argument("--force", action="store_true", help="link anew without asking, if it is linked already")
    link.add_argument(
        "--keep",
        action="store_true",
        help="after new hardware: this is the same printer, it keeps the link that it has",
    )
    link.add_argument("--no-discovery", action="store_true", help="typed codes only: do not announce this printer")
    unlink = command("unlink", "forget the link to the server")
    unlink.add_argument("--force", action="store_true", help="without asking")
    status = command("status", "show what the running agent sees: link, printer, print, cameras")
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    doctor = command("doctor", "check everything that the agent needs, and name what is wrong")
    doctor.add_argument("--json", action="store_true", help="as JSON, for programs")
    bundle = command("support-bundle", "write one zip for whoever is to help: configuration, log, state, no secrets")
    bundle.add_argument("-o", "--output", metavar="FILE", type=Path, help="where to (default: a new file here)")
    return top


def main(argv: list[str] | None = None, root: Path = Path("/")) -> int:
    """Runs one command; its exit status (cli/exit_codes.py). `root`: where the machine is looked at."""
    args = parser().parse_args(argv)
    try:
        return _dispatch(args, root)
    except ConfigInvalid as error:
        print(f"moonraker-obico: {error}", file=sys.stderr)
        return exit_codes.CONFIG
    except KeyboardInterrupt:
        return exit_codes.PROBLEM
    except Exception:
        # The host's entry point: whatever it was, it goes into the log before the service is started again.
        logging.getLogger("moonraker_obico").exception("the agent failed; please report this")
        return exit_codes.PROBLEM


def _dispatch(args: argparse.Namespace, root: Path) -> int:
    if args.command == "run":
        from moonraker_obico.cli.run import run

        return run(args.config, level=args.log_level, to_stderr=args.log_to_stderr, root=root)
    if args.command == "link":
        from moonraker_obico.cli.link import Wishes, keep_link, link

        if args.keep:
            return keep_link(args.config, root)
        return link(args.config, Wishes(args.server, args.code, args.force, not args.no_discovery), root)
    if args.command == "unlink":
        from moonraker_obico.cli.link import unlink

        return unlink(args.config, force=args.force)
    if args.command == "status":
        from moonraker_obico.cli.status import status

        return status(args.config, as_json=args.json)
    if args.command == "support-bundle":
        from moonraker_obico.cli.support import support

        return support(args.config, output=args.output)
    from moonraker_obico.cli.doctor import doctor

    return doctor(args.config, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
