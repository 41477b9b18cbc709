"""State -> what goes over the wire (payload-mapping.md, its *Better* column), and how often. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent_core.config import AgentConfig
from agent_core.model import ActivePrint, Download, HostSettings, Job, Phase, PrinterReport, Progress
from agent_core.reducer import AgentState, EmitPrintEvent
from agent_core.wire import messages as wire
from agent_core.wire import status as tree

_TEXT_LIMIT = 500
"""Characters of a printer's own words on the wire; an error text may be pages long."""


def current_print_ts(state: AgentState) -> int | None:
    """None: not known. -1: nothing prints, for certain (trap 2)."""
    if not state.print_known:
        return None
    return state.print.ts if state.print is not None else wire.NOT_PRINTING


def status(state: AgentState, now: float) -> tree.Status:
    current = state.print if state.print_known else None
    return _status(state.report, state.phase, current, now, state.download)


def status_message(state: AgentState, now: float, settings: wire.Settings | None = None) -> wire.StatusMessage:
    return wire.StatusMessage(
        current_print_ts=current_print_ts(state),
        status=status(state, now).to_wire(),
        settings=settings.to_wire() if settings is not None else None,
    )


def event_message(effect: EmitPrintEvent, ident: str) -> wire.StatusMessage:
    """A print event with ts, file and status of the print it belongs to, true however late it is sent."""
    phase = _PHASE_AT.get(effect.type, effect.report.phase)
    return wire.StatusMessage(
        current_print_ts=effect.print.ts,
        event=wire.PrintEvent(effect.type.value, dict(effect.data), id=ident, at=effect.at),
        status=_status(effect.report, phase, effect.print, effect.at).to_wire(),
    )


_PHASE_AT = {
    wire.EventType.PAUSED: Phase.PAUSED,
    wire.EventType.CANCELLING: Phase.CANCELLING,
}
"""Events whose own phase may be ahead of the last report; for the others the report is the truth."""


def _status(
    report: PrinterReport, phase: Phase, current: ActivePrint | None, now: float, download: Download | None = None
) -> tree.Status:
    own = phase is report.phase
    if phase is not Phase.DOWNLOADING:
        download = None
    return tree.Status(
        ts=now,
        state=tree.State(
            text=(_clipped(report.text) if own else None) or phase.value,
            flags=flags(report, phase),
            error=_clipped(report.error),
        ),
        job=_job(report.job, current),
        progress=_progress(report.progress, current, now),
        temperatures={
            name: tree.Temperature(value.actual, value.target, value.offset)
            for name, value in report.temperatures.items()
        },
        current_z=report.z,
        current_layer=report.layer if own else None,
        total_layers=report.total_layers if own else None,
        object_height=report.object_height,
        file_hash=report.job.hash,
        feed_rate=report.speed_factor,
        flow_rate=report.flow_factor,
        fan_speed=report.fan_speed,
        message=_clipped(report.message) if download is None else _told(download),
        download=None if download is None else tree.Download(download.name, download.done, download.total),
        user_interaction_required=report.user_interaction_required,
        objects=None
        if report.objects is None
        else tree.Objects(report.objects.current, report.objects.names, report.objects.excluded),
    )


def _told(download: Download) -> str:
    """For clients that know the display's text only; the state's own text is a fixed word to them."""
    percent = download.percent
    return f"Downloading {download.name}" + ("" if percent is None else f": {percent} %")


def flags(report: PrinterReport, phase: Phase) -> tree.Flags:
    """`printing` gates failure detection and is never true in a pause (trap 12)."""
    printing = phase is Phase.PRINTING
    if report.printing is not None and phase is report.phase:
        printing = report.printing and phase is not Phase.PAUSED
    operational = phase.operational
    ready = phase is Phase.OPERATIONAL
    if report.ready is not None and phase is report.phase:
        ready = report.ready
    return tree.Flags(
        operational=operational,
        printing=printing,
        paused=phase is Phase.PAUSED,
        pausing=phase is Phase.PAUSING,
        resuming=phase is Phase.RESUMING,
        cancelling=phase is Phase.CANCELLING,
        finishing=phase is Phase.FINISHING,
        ready=ready,
        error=report.error_flag or phase is Phase.ERROR,
        closed_or_error=report.closed_or_error or phase in {Phase.OFFLINE, Phase.ERROR},
        sd_ready=report.sd_ready,
    )


def _clipped(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _job(job: Job, current: ActivePrint | None) -> tree.Job:
    name = job.name or (current.filename if current is not None else None)
    return tree.Job(
        file=tree.File(
            name=name, path=job.path, display=job.display or name, origin=job.origin, size=job.size, date=job.date,
            g_code_file_id=current.g_code_file_id if current is not None else None,
        ),
        estimated_print_time=job.estimated_print_time,
        average_print_time=job.average_print_time,
        last_print_time=job.last_print_time,
        filament={tool: tree.Filament(need.length, need.volume) for tool, need in job.filament.items()} or None,
        user=job.user,
    )  # fmt: skip


def _progress(progress: Progress, current: ActivePrint | None, now: float) -> tree.Progress:
    elapsed = progress.print_time
    if elapsed is not None and progress.print_time_includes_pauses and current is not None:
        elapsed = max(0.0, elapsed - current.paused_until(now))
    return tree.Progress(
        completion=progress.completion, filepos=progress.filepos, print_time=elapsed,
        print_time_left=progress.print_time_left, print_time_left_origin=progress.print_time_left_origin,
        filament_used=progress.filament_used,
    )  # fmt: skip


def settings(config: AgentConfig, known: HostSettings) -> wire.Settings:
    """The settings block; `agent` stands in each (trap 5)."""
    cameras: tuple[wire.Webcam, ...] | None = None
    if known.cameras is not None:
        cameras = tuple(
            wire.Webcam(
                name=camera.name, is_primary_camera=camera.primary, is_nozzle_camera=camera.nozzle,
                flip_h=camera.flip_h, flip_v=camera.flip_v, rotation=camera.rotation, stream_ratio=camera.ratio,
            )
            for camera in known.cameras
        )  # fmt: skip
    return wire.Settings(
        agent=wire.AgentInfo(config.agent_name, config.agent_version),
        webcams=cameras,
        temperature_profiles=known.temperature_profiles,
        platform_uname=known.platform_uname,
        installed_plugins=known.installed_plugins,
        printer_metadata=known.printer_metadata,
        extra=known.extra,
    )


# --- how often ------------------------------------------------------------------------------------------------------

QUIET_SECONDS = 45.0
"""Between statuses that nobody waits for: a server keeps one 120 s (§3.3), the public agents send at 30-50 s."""

ACTIVE_SECONDS = 10.0
"""While a print is under way, on a server of ours: programs that ask its REST API get figures of this age at most."""

ACTIVE_ELSEWHERE_SECONDS = 30.0
"""The same on a public server: the public agents' own rate."""

WATCHED_SECONDS = 2.0
"""While somebody looks at the printer on a server of ours."""

WATCHED_ELSEWHERE_SECONDS = 10.0
"""The same on a public server: the public agents' own boosted rate (§3.6)."""

URGENT_SECONDS = 0.1
"""Changes closer together than this go as one: a host tells state, job and temperatures in several calls."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the next status goes out. Times are monotonic seconds."""

    sent_at: float | None = None
    urgent_at: float | None = None

    def wanted(self, now: float) -> Schedule:
        """Something changed that a person waits for."""
        return self if self.urgent_at is not None else Schedule(self.sent_at, now)

    def due(self, *, viewing: bool, active: bool, ours: bool) -> float:
        """The moment at which the next status should go; 0: at once. `active`: a print is under way."""
        if self.sent_at is None:
            return 0.0
        period = QUIET_SECONDS
        if viewing:
            period = WATCHED_SECONDS if ours else WATCHED_ELSEWHERE_SECONDS
        elif active:
            period = ACTIVE_SECONDS if ours else ACTIVE_ELSEWHERE_SECONDS
        due = self.sent_at + period
        if self.urgent_at is not None:
            due = min(due, max(self.urgent_at, self.sent_at + URGENT_SECONDS))
        return due

    def sent(self, now: float) -> Schedule:
        return Schedule(sent_at=now)


def printing_for_pictures(state: AgentState) -> bool:
    """Whether pictures are worth taking: the printer prints and is not paused (§3.6)."""
    shown: dict[str, Any] = flags(state.report, state.phase).to_wire()
    return bool(shown["printing"])
