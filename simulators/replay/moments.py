"""Recorded times: text, numbers or Parquet's timestamps become microseconds since 1970."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import isfinite
from zoneinfo import ZoneInfo

from simulators.replay.mapping import TimeColumn

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: A recorded time in µs, and its other meaning in the hour that autumn repeats.
Moment = tuple[int, int | None]


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of a moment with a zone."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_text(time_us: int) -> str:
    """RFC 3339 in UTC."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def local_moment(moment: datetime, zone: ZoneInfo | None) -> Moment:
    """A moment in µs; without a zone of its own it is local time in `zone`.

    Raises ValueError if it has no zone at all, or if the clocks skipped it.
    """
    if moment.tzinfo is not None:
        return microseconds(moment), None
    if zone is None:
        raise ValueError("has no time zone; give time.zone, for example Europe/Kyiv")
    first = microseconds(moment.replace(tzinfo=zone, fold=0))
    second = microseconds(moment.replace(tzinfo=zone, fold=1))
    if first == second:
        return first, None
    if second < first:
        raise ValueError(f"does not exist in {zone.key}, the clocks skipped it; is time.zone right?")
    return first, second


def moment_reader(spec: TimeColumn) -> Callable[[object], Moment]:
    """A function from a recorded time to its moment; it raises ValueError with what is wrong."""
    zone = ZoneInfo(spec.zone) if spec.zone else None
    per_unit = {"epoch_s": 1e6, "epoch_ms": 1e3}.get(spec.format)

    def parsed(text: str) -> datetime:
        try:
            if spec.format == "iso":
                return datetime.fromisoformat(text)
            return datetime.strptime(text, spec.format)  # noqa: DTZ007  (local_moment gives it its zone)
        except ValueError:
            expected = "2026-11-23T10:15:00Z" if spec.format == "iso" else spec.format
            raise ValueError(f"is no time; expected for example {expected}") from None

    @lru_cache(maxsize=65_536)
    def from_text(text: str) -> Moment:
        return local_moment(parsed(text), zone)

    def read(value: object) -> Moment:
        if isinstance(value, datetime):
            return local_moment(value, zone)
        if isinstance(value, date):
            return local_moment(datetime(value.year, value.month, value.day), zone)  # noqa: DTZ001
        if value is None or value == "":
            raise ValueError("is empty")
        if per_unit is not None:
            return _epoch(value, per_unit), None
        if isinstance(value, str):
            return from_text(value.strip())
        raise ValueError("is a number; is time.format epoch_s or epoch_ms?")

    return read


def _epoch(value: object, per_unit: float) -> int:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError("is no time; expected a number such as 1763892900") from None
    if not isfinite(number) or not -1e16 < number * per_unit < 1e17:
        raise ValueError("is no time; expected a number such as 1763892900")
    return round(number * per_unit)
