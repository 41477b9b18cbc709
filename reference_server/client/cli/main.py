"""Runs `obico-fleet`: arguments, address and key, and what an error becomes."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Sequence

from reference_server.client import (
    Client,
    ConnectionFailed,
    FleetError,
    InsufficientPermissions,
    InvalidApiKey,
    UnexpectedAnswer,
)
from reference_server.client.cli import login as logins
from reference_server.client.cli.arguments import parser
from reference_server.client.cli.commands import check_login
from reference_server.client.cli.console import (
    DONE,
    INTERRUPTED,
    NO_ACCESS,
    REFUSED,
    UNREACHABLE,
    Console,
    Stop,
    usage,
)
from reference_server.client.cli.text import plain
from reference_server.client.clients import KEY_VARIABLE, URL_VARIABLE
from reference_server.client.request import normal_url
from reference_server.client.retry import NO_RETRY, Retry


def connect(console: Console, args: argparse.Namespace) -> Client:
    """Raises Stop."""
    known = logins.load(logins.place(console.environment))
    url = args.url or console.environment.get(URL_VARIABLE) or (known.url if known else None)
    if not url:
        raise Stop(f"Which server? `obico-fleet login URL` once, or --url, or {URL_VARIABLE}.", NO_ACCESS)
    try:
        base = normal_url(url)
    except ValueError as error:
        usage(str(error))
    key = console.environment.get(KEY_VARIABLE) or (known.key if known and known.url == base else None)
    if not key:
        raise Stop(f"No key is known for {base}: `obico-fleet login {base}` once, or {KEY_VARIABLE}.", NO_ACCESS)
    # A person waits: few repeats. What goes on for hours (watch, --wait) waits by itself.
    retry = NO_RETRY if getattr(args, "every", None) else Retry(times=3)
    try:
        return Client(key, base, retry=retry)
    except ValueError as error:
        raise Stop(str(error), NO_ACCESS) from None


def log_in(console: Console, args: argparse.Namespace) -> int:
    """Nothing is kept unless the server takes the key. Raises Stop, FleetError."""
    url = args.address or args.url or console.environment.get(URL_VARIABLE)
    if not url:
        usage("Which server? obico-fleet login https://farm.example.org")
    try:
        base = normal_url(url)
    except ValueError as error:
        usage(str(error))
    key = console.environment.get(KEY_VARIABLE) or _asked(console, base)
    if not key:
        raise Stop("No key was given.", NO_ACCESS)
    try:
        client = Client(key, base, retry=NO_RETRY)
    except ValueError:
        raise Stop("This is no key of the fleet API.", NO_ACCESS) from None
    with client:
        name = check_login(client)
    path = logins.place(console.environment)
    try:
        logins.save(path, logins.Login(base, key))
    except OSError as error:
        raise Stop(f"{path} cannot be written: {error.strerror or error}") from None
    console.say(f"Logged in to {base} with the key {name!r}; kept in {path}.")
    return DONE


def _asked(console: Console, base: str) -> str:
    if not console.into.isatty():
        return console.into.readline().strip()
    console.warn(f"A key is made on the server's page, or by POST {base}/v1/api-keys.")
    return getpass.getpass("API key (not shown): ").strip()


def run(console: Console, arguments: Sequence[str]) -> int:
    args = parser().parse_args(arguments)
    try:
        if args.run == "login":
            return log_in(console, args)
        if args.run == "logout":
            was = logins.forget(logins.place(console.environment))
            console.say("Forgotten. The key itself stays valid until it is deleted." if was else "Nothing was kept.")
            return DONE
        with connect(console, args) as client:
            status: int = args.run(client, console, args)
            return status
    except Stop as stop:
        console.warn(f"obico-fleet: {stop}")
        return stop.status
    except FleetError as error:
        console.warn(f"obico-fleet: {describe(error)}")
        return status_of(error)
    except KeyboardInterrupt:
        console.warn("")
        return INTERRUPTED


def status_of(error: FleetError) -> int:
    if isinstance(error, ConnectionFailed | UnexpectedAnswer):
        return UNREACHABLE
    return NO_ACCESS if isinstance(error, InvalidApiKey | InsufficientPermissions) else REFUSED


def describe(error: FleetError) -> str:
    """In a line or two: what, where, and what to tell whoever runs the server."""
    words = plain(error.message)
    if isinstance(error, ConnectionFailed):
        return f"the server is not reached: {words}"
    if isinstance(error, InvalidApiKey):
        return f"{words} `obico-fleet login` takes a new key."
    fields = [f"  {plain(name)}: {plain(value)}" for name, value in error.details.items()
              if isinstance(value, str | int | float) and plain(value) not in words]  # fmt: skip
    told = "\n".join([words, *fields])
    return f"{told} (request {plain(error.request_id)})" if error.status >= 500 and error.request_id else told


def main() -> int:
    try:
        return run(Console(), sys.argv[1:])
    except BrokenPipeError:  # `obico-fleet list jobs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
