"""A cancel while a file is being downloaded ends the download."""

from __future__ import annotations

from agent_core.features.downloads import Downloads
from agent_core.pause import PauseSettings
from agent_core.ports import Interrupt, PrinterPort


class CancelsDownloads:
    """The host's PrinterPort; a cancel while a download is under way ends that."""

    def __init__(self, printer: PrinterPort, downloads: Downloads) -> None:
        self._printer = printer
        self._downloads = downloads

    def check(self, command: str) -> None:
        if command != "cancel" or not self._downloads.active:
            self._printer.check(command)

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        return self._printer.pause(settings, interrupt)

    def resume(self, interrupt: Interrupt) -> str:
        return self._printer.resume(interrupt)

    def cancel(self, interrupt: Interrupt) -> str:
        if self._downloads.cancel():
            return "cancelled the download; nothing was started"
        return self._printer.cancel(interrupt)
