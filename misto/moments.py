"""Moments as people give them on the command line."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from catalogue.inventory import parse_duration
from rules.errors import RulesError


def moment_of(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """A day or time (local to `zone` unless it says otherwise), or a duration before now: `2026-03-01`, `30d`."""
    try:
        return now if text == "0d" else now - timedelta(seconds=parse_duration(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RulesError(f"{text!r} is no moment; expected for example 2026-03-01, 2026-03-01T12:00 or 30d") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
