"""Whether a channel gets a notice, and when. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reference_server.services.alerts.model import AlertSettings, Channel, QuietAction
from reference_server.services.notices import NoticeKind

_DAY_MINUTES = 24 * 60


def wants(settings: AlertSettings, channel: Channel, kind: NoticeKind) -> bool:
    """A channel's own choice goes before the user's general one."""
    return channel.enabled and kind in (settings.kinds if channel.kinds is None else channel.kinds)


def told_at(settings: AlertSettings, kind: NoticeKind, now: datetime) -> datetime | None:
    """When a notice of this kind is told: now, or when the quiet hours end; None: not at all."""
    end = quiet_until(settings, now)
    if end is None or kind in settings.urgent_kinds:
        return now
    return end if settings.quiet_action is QuietAction.HOLD else None


def quiet_until(settings: AlertSettings, now: datetime) -> datetime | None:
    """The end of the quiet hours that `now` lies in; None: it lies in none. The clock on the user's wall counts, so
    that on the day of a change to summer time they are an hour shorter."""
    begin, end = settings.quiet_from, settings.quiet_until
    if begin is None or end is None or begin == end:
        return None
    zone = find_zone(settings.zone) or timezone.utc
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    if (minute - begin) % _DAY_MINUTES >= (end - begin) % _DAY_MINUTES:
        return None
    day = local.date() + timedelta(days=1 if minute >= end else 0)
    found = datetime.combine(day, time(end // 60, end % 60), zone).astimezone(timezone.utc)
    # Where the clock is set back in between, the same time comes twice: the first may lie behind us.
    return max(found, now)


def find_zone(name: str) -> tzinfo | None:
    """None: there is no zone of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # an OSError: the name is a folder's
        return None
