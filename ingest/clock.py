"""Times that devices send, and which of them to believe."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from ingest.errors import Reason, Undecodable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Before this a device's clock was never set: 1970, 2000, or seconds since it was switched on.
CLOCK_SET_SINCE_US = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1e6)

#: A reading from the future would make every later one of its series look old.
FUTURE_TOLERANCE_US = 5 * 60 * 1_000_000

# Numbers from here on are milliseconds: as seconds they would be after the year 5000.
_MILLISECONDS_FROM = 1e11


class TimeSource(StrEnum):
    """Where a reading's time comes from."""

    DEVICE = "the message's own time"
    RECEPTION = "the time of reception, for the message has none"
    UNSET_CLOCK = "the time of reception, for the device's clock was never set"


# Looking a member up costs as much as settling a time does.
_DEVICE, _RECEPTION, _UNSET_CLOCK = TimeSource


def parse_time_us(value: object, zone: ZoneInfo | None = None, near_us: int | None = None) -> int:
    """Microseconds since 1970 from RFC 3339 text, or from epoch seconds or milliseconds.

    Text without a zone is local time in `zone`; in the hour that autumn repeats, the one nearer to `near_us`.
    Raises ValueError for anything else.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"{value[:60]!r} is no time; expected for example 2026-11-23T10:15:00Z") from None
        if moment.tzinfo is None:
            if zone is None:
                raise ValueError(f"{value!r} has no time zone; expected for example 2026-11-23T10:15:00Z")
            return _local_us(moment, zone, near_us)
        return _us(moment)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no time")
    if not -1e15 < value < 1e15:
        raise ValueError(f"{value!r} is no time")
    return round(value * (1e3 if value >= _MILLISECONDS_FROM else 1e6))


def settle_time(device_us: int | None, received_us: int) -> tuple[int, TimeSource]:
    """The time to store. Raises `Undecodable` for a time in the future."""
    if device_us is None:
        return received_us, _RECEPTION
    if device_us < CLOCK_SET_SINCE_US:
        return received_us, _UNSET_CLOCK
    if device_us > received_us + FUTURE_TOLERANCE_US:
        ahead_s = (device_us - received_us) / 1e6
        raise Undecodable(
            Reason.TIME_IN_FUTURE, f"its time {_text(device_us)} lies {ahead_s:.0f} s ahead; set the device's clock"
        )
    return device_us, _DEVICE


def _local_us(moment: datetime, zone: ZoneInfo, near_us: int | None) -> int:
    again = moment.replace(fold=1)
    first = _us(moment.replace(tzinfo=zone))
    if near_us is None or zone.utcoffset(moment) == zone.utcoffset(again):
        return first
    second = _us(again.replace(tzinfo=zone))
    return first if abs(first - near_us) <= abs(second - near_us) else second


def _us(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _text(us: int) -> str:
    try:
        return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{us / 1e6:.0f} s after 1970"
