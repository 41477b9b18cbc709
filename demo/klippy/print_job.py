"""print_stats, virtual_sdcard and pause_resume: a print as clients see it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from demo.klippy.errors import GcodeError
from demo.klippy.gcode_move import GcodeMove

MAX_LINE = 65536  # bytes of one G-code line; a longer one is read in pieces


class PrintStats:
    """Klipper's print_stats. The state changes when the file is read, not when the nozzle has moved."""

    def __init__(self, moves: GcodeMove) -> None:
        self._moves = moves
        self.reset()

    def reset(self) -> None:
        self.filename = ""
        self.state = "standby"
        self.message = ""
        self.total_layer: int | None = None
        self.current_layer: int | None = None
        self.filament_used = 0.0
        self._last_e = 0.0
        self._started: float | None = None
        self._paused_at: float | None = None
        self._paused_before = 0.0
        self._total = 0.0
        self._before_extrusion = 0.0

    def set_file(self, filename: str) -> None:
        self.reset()
        self.filename = filename

    def note_start(self, now: float) -> None:
        if self._started is None:
            self._started = now
        elif self._paused_at is not None:
            self._paused_before += now - self._paused_at
            self._paused_at = None
        self._last_e = self._moves.state.last_position[3]
        self.state = "printing"
        self.message = ""

    def note_pause(self, now: float) -> None:
        if self._paused_at is None:
            self._paused_at = now
            self._count_filament()
        if self.state != "error":
            self.state = "paused"

    def note_end(self, state: str, now: float, message: str = "") -> None:
        """complete, cancelled or error. Of two endings the first counts: a cancel hides an error."""
        if self._started is None:
            return
        self.state = state
        self.message = message
        self._total = now - self._started
        if self.filament_used < 1e-7:
            self._before_extrusion = self._total - self._paused_before
        self._started = None

    def set_layers(self, total: int | None, current: int | None) -> None:
        """SET_PRINT_STATS_INFO."""
        if total == 0:
            self.total_layer = self.current_layer = None
        elif total is not None and total != self.total_layer:
            self.total_layer = total
            self.current_layer = 0
        if self.total_layer is not None and current is not None:
            self.current_layer = min(current, self.total_layer)

    def _count_filament(self) -> None:
        state = self._moves.state
        self.filament_used += (state.last_position[3] - self._last_e) / state.extrude_factor
        self._last_e = state.last_position[3]

    def status(self, now: float) -> dict[str, object]:
        paused = self._paused_before
        if self._started is not None:
            if self._paused_at is not None:
                paused += now - self._paused_at
            else:
                self._count_filament()
            self._total = now - self._started
            if self.filament_used < 1e-7:
                self._before_extrusion = self._total - paused
        return {
            "filename": self.filename,
            "total_duration": self._total,
            "print_duration": max(0.0, self._total - self._before_extrusion - paused),
            "filament_used": self.filament_used,
            "state": self.state,
            "message": self.message,
            "info": {"total_layer": self.total_layer, "current_layer": self.current_layer},
        }


@dataclass(slots=True)
class OpenFile:
    path: Path
    handle: BinaryIO
    size: int


class VirtualSdcard:
    """The file being printed. `next_line` hands out lines while `active`; the host runs them."""

    def __init__(self, folder: Path, stats: PrintStats, respond: Callable[[str], None]) -> None:
        self._folder = folder
        self._stats = stats
        self._respond = respond
        self.file: OpenFile | None = None
        self.active = False
        self.must_pause = False
        self.running_line = False
        self.position = 0
        self.size = 0
        self._next_position = 0

    def load(self, filename: str) -> None:
        """Open a file of the folder. Raises GcodeError if there is none."""
        path = (self._folder / filename.lstrip("/")).resolve()
        if not path.is_relative_to(self._folder.resolve()) or not path.is_file():
            raise GcodeError("Unable to open file")
        try:
            handle = path.open("rb")
        except OSError:
            raise GcodeError("Unable to open file") from None
        size = os.fstat(handle.fileno()).st_size
        self._respond(f"File opened:{filename} Size:{size}")
        self._respond("File selected")
        self.file = OpenFile(path, handle, size)
        self.position, self.size = 0, size
        self._stats.set_file(filename)

    def start(self, now: float) -> None:
        """Print on from `position`. Without a file nothing happens, as in Klipper."""
        if self.active:
            raise GcodeError("SD busy")
        if self.file is None:
            return
        self.must_pause = False
        self.active = True
        self.file.handle.seek(self.position)
        self._stats.note_start(now)

    def pause(self, now: float) -> None:
        """Stop reading; inside a line of the file itself once that line is over."""
        if not self.active:
            return
        self.must_pause = True
        if not self.running_line:
            self._stop(now)

    def cancel(self, now: float) -> None:
        if self.file is not None:
            self.active = False
            self._close()
            self._stats.note_end("cancelled", now)
        self.position = self.size = 0

    def reset(self, now: float) -> None:
        """SDCARD_RESET_FILE: forget the file and the figures of its print."""
        if self.file is not None:
            self.pause(now)
            self._close()
        self.active = False
        self.position = self.size = 0
        self._stats.reset()

    def next_line(self, now: float) -> str | None:
        """The next line of the file, None if there is none (paused, or the print ends with this call)."""
        if not self.active or self.file is None:
            return None
        raw = self.file.handle.readline(MAX_LINE)
        if not raw.endswith(b"\n") and len(raw) < MAX_LINE:
            # As in Klipper, a last line without a line end is never carried out.
            self._respond("Done printing file")
            self.active = False
            self._close()
            self._stats.note_end("complete", now)
            return None
        self._next_position = self.position + len(raw)
        self.running_line = True
        return raw.decode("utf-8", "replace").rstrip("\r\n")

    def unread(self) -> None:
        """Put the line back that `next_line` just gave out."""
        self.running_line = False
        if self.file is not None:
            self.file.handle.seek(self.position)

    def line_done(self, now: float) -> None:
        self.running_line = False
        if self.file is not None:
            self.position = self._next_position
        if self.must_pause and self.active:
            self._stop(now)

    def line_failed(self, message: str, now: float) -> None:
        """After the on_error_gcode has run."""
        self.running_line = False
        self.active = False
        self._stats.note_end("error", now, message)

    def _stop(self, now: float) -> None:
        self.active = False
        self.must_pause = False
        if self.file is not None:
            self._stats.note_pause(now)

    def _close(self) -> None:
        if self.file is not None:
            self.file.handle.close()
            self.file = None

    def close(self) -> None:
        self.active = False
        self._close()

    def progress(self) -> float:
        return self.position / self.size if self.size else 0.0

    def status(self) -> dict[str, object]:
        return {
            "file_path": str(self.file.path) if self.file else None,
            "progress": self.progress(),
            "is_active": self.active,
            "file_position": self.position,
            "file_size": self.size,
        }


class PauseResume:
    """The built-in PAUSE, RESUME, CANCEL_PRINT and CLEAR_PAUSE."""

    def __init__(self, sdcard: VirtualSdcard, moves: GcodeMove, info: Callable[[str], None]) -> None:
        self._sdcard = sdcard
        self._moves = moves
        self._info = info
        self.is_paused = False
        self._sd_paused = False
        self._pause_sent = False

    def send_pause(self, now: float) -> None:
        """Stop the file; called by PAUSE, and before it by a filament sensor."""
        if self._pause_sent:
            return
        self._sd_paused = self._sdcard.active
        if self._sd_paused:
            self._sdcard.pause(now)
        else:
            self._info("action:paused")
        self._pause_sent = True

    def pause(self, now: float) -> None:
        if self.is_paused:
            self._info("Print already paused")
            return
        self.send_pause(now)
        self._moves.save("PAUSE_STATE")
        self.is_paused = True

    def resume(self, velocity: float, now: float) -> None:
        """`velocity` of the move back, in mm/s."""
        if not self.is_paused:
            self._info("Print is not paused, resume aborted")
            return
        self._moves.restore("PAUSE_STATE", move=True, move_speed=velocity)
        if self._sd_paused:
            self._sdcard.start(now)
            self._sd_paused = False
        else:
            self._info("action:resumed")
        self._pause_sent = False
        self.is_paused = False

    def cancel(self, now: float) -> None:
        if self._sdcard.active or self._sd_paused:
            self._sdcard.cancel(now)
        else:
            self._info("action:cancel")
        self.clear()

    def clear(self) -> None:
        # The memory that the file was stopped stays, as in Klipper: CANCEL_PRINT after CLEAR_PAUSE still cancels it.
        self.is_paused = self._pause_sent = False
