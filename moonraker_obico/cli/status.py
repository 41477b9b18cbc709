"""`status`: what the running agent sees, for people or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moonraker_obico.cli import exit_codes, lock, status_socket
from moonraker_obico.config import load


def status(path: Path, *, as_json: bool = False) -> int:
    """The exit status. Raises ConfigInvalid."""
    config = load(path)
    told = status_socket.ask(config.status_path)
    if told is None:
        pid = lock.holder(config.lock_path)
        reason = f"it runs (process {pid}) but does not answer" if pid is not None else "it does not run"
        if as_json:
            print(json.dumps({"agent": None, "reason": reason}))
        else:
            print(f"agent     {reason}; start it with `sudo systemctl start moonraker-obico`")
        return exit_codes.PROBLEM
    print(json.dumps(told, indent=2) if as_json else "\n".join(lines(told, time.time())))
    return exit_codes.OK


def lines(told: Mapping[str, Any], now: float) -> list[str]:
    """The status as text, one subject a line."""
    agent, link, moonraker = told["agent"], told["link"], told["moonraker"]
    linked = f"{link['state']}, {link['server']}"
    if link.get("printer"):
        linked += f" as {link['printer']}"
    if link.get("since"):
        linked += f", for {_span(now - link['since'])}"
    if link.get("reason") and link["state"] != "connected":
        linked += f": {link['reason']}"
    if link["state"] == "not linked":
        linked += ": run `moonraker-obico link`" + _search(told.get("search"))
    if link.get("queued_events"):
        linked += f" ({link['queued_events']} events wait for the server)"
    shown = [
        f"agent     {agent['version']}, process {agent['pid']}, for {_span(now - agent['since'])}",
        f"link      {linked}",
    ]
    if moonraker is not None:
        shown.append(f"moonraker {moonraker['address']}: {moonraker['problem'] or 'connected'}")
    printer, job = told["printer"], told["print"]
    if printer is not None:
        shown.append(f"printer   {printer['state']}" + (f": {printer['error']}" if printer["error"] else ""))
    shown.append(f"print     {_print(job, now)}")
    cameras = told["cameras"]
    for camera in cameras:
        name = (camera["name"] or "(unnamed)") + (", primary" if camera["primary"] else "")
        shown.append(f"camera    {name}: {camera['problem'] or 'no trouble known'} ({camera['address']})")
    if not cameras:
        shown.append("camera    none: add one in Mainsail or Fluidd, or a [webcam] section with snapshot_url")
    if pictures := _pictures(told.get("pictures") or {}):
        shown.append(f"pictures  {pictures}")
    if trouble := told.get("trouble"):
        shown.append(f"trouble   {_span(now - trouble['at'])} ago: {trouble['text']}")
    return shown


def _search(search: Mapping[str, Any] | None) -> str:
    if search is None or search["state"] == "ended":
        return ""
    if search["passcode"]:
        return f", or enter the passcode {search['passcode']} on the server's page"
    return f" ({search['trouble']})" if search["trouble"] else ""


def _pictures(told: Mapping[str, Any]) -> str:
    """What is held back; "" if nothing is."""
    said = []
    if told.get("factor", 1) > 1:
        said.append(f"{told['factor']} times as rarely as usual, since this machine is short: {told['why']}")
    if told.get("unchanged"):
        said.append(f"{told['unchanged']} were like the one before and not sent again")
    if told.get("limit"):
        said.append(f"at most {told['limit']:.0f} kbit/s")
    return "; ".join(said)


def _print(job: Mapping[str, Any] | None, now: float) -> str:
    if job is None:
        return "none"
    text = f"{job['file']}, for {_span(now - job['since'])}"
    if job["completion"] is not None:
        text += f", {job['completion']:.1f} %"
    if job.get("layer") is not None:
        text += f", layer {job['layer']} of {job['layers']}"
    if job["seconds_left"]:
        text += f", {_span(job['seconds_left'])} left"
    return text + (", paused" if job["paused"] else "")


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
