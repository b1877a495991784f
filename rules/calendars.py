"""When a rule is active: local windows of the week, public holidays and school holidays. No clock, no I/O.

A window belongs to the day on which it begins: `days: fri` from 22:00 to 06:00 ends on Saturday, and a holiday takes
out the windows that begin on it. Local times that a clock change skips are counted on from before it; of the hour that
comes twice a window has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from importlib.resources import files
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import holidays
from pydantic import BeforeValidator, Field, field_serializer, model_validator

from catalogue.inventory import TimeZone
from catalogue.yamlfile import Document, parse_yaml, validate
from rules.conditions.base import Strict

#: Name of the file in a folder of rules that is the city's calendar.
CALENDAR_FILE = "calendar.yaml"

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR_US = 3_600_000_000
_MOST_HOURS = 20_000
#: Longest that hours are followed to their end; such hours do not end.
_LONGEST_DAYS = 400


def _days(value: Any) -> Any:
    """`mon-sat`, `mon, wed, fri` → (0, 1, 2, 3, 4, 5), (0, 2, 4)."""
    days: list[int] = []
    for part in value.split(",") if isinstance(value, str) else []:
        first, dash, last = (word.strip() for word in part.partition("-"))
        if first not in _DAYS or (dash and last not in _DAYS):
            break
        begin = _DAYS.index(first)
        count = (_DAYS.index(last) - begin) % 7 + 1 if dash else 1
        days += [(begin + number) % 7 for number in range(count)]
    else:
        if days:
            return tuple(sorted(set(days)))
    raise ValueError("must be days of the week such as mon-fri or mon, wed, sat; there are " + ", ".join(_DAYS))


def _minutes(value: Any) -> Any:
    """`06:00` → minutes since midnight."""
    if value == "24:00":
        return 24 * 60
    try:
        moment = time.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError('must be a local time from "00:00" to "24:00", for example "06:00"') from None
    return moment.hour * 60 + moment.minute


def _month_day(value: Any) -> Any:
    """`06-01` of every year."""
    try:
        # Any leap year, for the 29th of February.
        return date.fromisoformat(f"2024-{value}").strftime("%m-%d")
    except (TypeError, ValueError):
        raise ValueError('must be a month and a day, for example "06-01"') from None


_Minutes = Annotated[int, BeforeValidator(_minutes)]
_MonthDay = Annotated[str, BeforeValidator(_month_day)]


class Window(Strict):
    """Local hours of some days of the week; `to` not later than `from` is on the next day."""

    days: Annotated[tuple[int, ...], BeforeValidator(_days)] = tuple(range(7))
    begins: Annotated[_Minutes, Field(alias="from")] = 0
    ends: Annotated[_Minutes, Field(alias="to")] = 24 * 60

    @field_serializer("days")
    def _days_as_written(self, days: tuple[int, ...]) -> str:
        return ", ".join(_DAYS[day] for day in days)

    @field_serializer("begins", "ends")
    def _minutes_as_written(self, minutes: int) -> str:
        return f"{minutes // 60:02}:{minutes % 60:02}"

    @model_validator(mode="after")
    def _some_time(self) -> Window:
        if self.begins in (self.ends, 24 * 60):
            raise ValueError('is no time at all: from and to are the same; a whole day is from "00:00" to "24:00"')
        return self


class Span(Strict):
    """Days of every year, both included, over New Year if `to` is before `from`; with `year` only those that begin in
    that year."""

    begins: Annotated[_MonthDay, Field(alias="from")]
    ends: Annotated[_MonthDay, Field(alias="to")]
    year: int | None = Field(default=None, ge=2000, le=2200)

    def holds(self, day: date) -> bool:
        """Whether this day is one of them."""
        place = day.strftime("%m-%d")
        if self.begins <= self.ends:
            return self.begins <= place <= self.ends and self.year in (None, day.year)
        if place >= self.begins:
            return self.year in (None, day.year)
        return place <= self.ends and self.year in (None, day.year - 1)


class Calendar(Strict):
    """A file of the days that a city keeps."""

    version: Literal[1]
    school_holidays: list[Span] | None = None
    extra_holidays: list[Span] = []


@dataclass(frozen=True)
class Local:
    """What the hours of rules follow where they do not say it themselves."""

    time_zone: str
    school_holidays: Sequence[Span]
    extra_holidays: Sequence[Span] = ()

    def completed(self, active: Any) -> Any:
        """The part `active` of a rule as its file has it, with what it leaves out."""
        if not isinstance(active, dict):
            return active
        given = {"time_zone": self.time_zone, **active}
        excepted = given.get("except")
        if isinstance(excepted, list):
            if "school-holidays" in excepted:
                given = {"school_holidays": [_as_written(span) for span in self.school_holidays], **given}
            if "holidays" in excepted and self.extra_holidays:
                given = {"extra_holidays": [_as_written(span) for span in self.extra_holidays], **given}
        return given


def _as_written(span: Span) -> dict[str, Any]:
    return span.model_dump(by_alias=True, exclude_none=True)


def local_of(time_zone: str, own: Document | None = None) -> Local:
    """The city's time zone, its school holidays and its own holidays by a calendar file; without one, or where it says
    nothing, the school holidays are the usual ones. Raises `FileProblems`."""
    text = files("rules").joinpath(CALENDAR_FILE).read_text(encoding="utf-8")
    usual = validate(parse_yaml(text, f"rules/{CALENDAR_FILE}"), Calendar)
    its = usual if own is None else validate(own, Calendar)
    terms = usual.school_holidays if its.school_holidays is None else its.school_holidays
    return Local(time_zone, terms or (), its.extra_holidays)


class Active(Strict):
    """When a rule judges at all. Outside it is unknown (hold), or what is open ends (resolve)."""

    windows: list[Window] = Field(min_length=1)
    excepted: Annotated[list[Literal["holidays", "school-holidays"]], Field(alias="except")] = []
    outside: Literal["hold", "resolve"] = "hold"
    time_zone: TimeZone = "Europe/Kyiv"
    school_holidays: list[Span] = []
    extra_holidays: list[Span] = []

    @cached_property
    def hours(self) -> Hours:
        """The moments that it comes to."""
        return Hours(self)


class Hours:
    """Moments, in microseconds since 1970, at which an `Active` is open."""

    def __init__(self, active: Active) -> None:
        self._active = active
        self._zone = ZoneInfo(active.time_zone)
        self._near: dict[int, tuple[tuple[int, int], ...]] = {}

    def open_at(self, time_us: int) -> bool:
        """Whether a window is open."""
        return any(begin <= time_us < end for begin, end in self._around(time_us))

    def ends_us(self, time_us: int) -> int | None:
        """When the windows that are open, with those that join on, end; None if they do not."""
        end_us = time_us
        limit_us = time_us + _LONGEST_DAYS * 24 * _HOUR_US
        while end_us < limit_us:
            later = max((end for begin, end in self._around(end_us) if begin <= end_us < end), default=end_us)
            if later == end_us:
                return end_us
            end_us = later
        return None

    def _around(self, time_us: int) -> tuple[tuple[int, int], ...]:
        """The windows that may hold a moment of this hour."""
        hour = time_us // _HOUR_US
        if hour not in self._near:
            if len(self._near) >= _MOST_HOURS:
                self._near.clear()
            day = datetime.fromtimestamp(hour * 3600, self._zone).date()
            near = (day + timedelta(days=days) for days in (-2, -1, 0, 1))
            self._near[hour] = tuple(span for each in near for span in self._of_day(each))
        return self._near[hour]

    def _of_day(self, day: date) -> list[tuple[int, int]]:
        """The windows that begin on this day."""
        active = self._active
        if "holidays" in active.excepted and (
            day in public_holidays(day.year) or any(span.holds(day) for span in active.extra_holidays)
        ):
            return []
        if "school-holidays" in active.excepted and any(span.holds(day) for span in active.school_holidays):
            return []
        return [
            (
                self._moment_us(day, window.begins, last=False),
                self._moment_us(day, window.ends + (24 * 60 if window.ends <= window.begins else 0), last=True),
            )
            for window in active.windows
            if day.weekday() in window.days
        ]

    def _moment_us(self, day: date, minutes: int, *, last: bool) -> int:
        days, rest = divmod(minutes, 24 * 60)
        moment = datetime.combine(day + timedelta(days=days), time(*divmod(rest, 60)), self._zone)
        again = moment.replace(fold=1)
        # In an hour that comes twice the offset falls; in one that is skipped it rises.
        if last and _offset(again) < _offset(moment):
            moment = again
        return round(moment.timestamp() * 1e6)


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None
    return offset


@cache
def public_holidays(year: int) -> frozenset[date]:
    """Ukraine's. During martial law they are working days by law, and kept all the same."""
    return frozenset(holidays.country_holidays("UA", years=year, categories=("public", "workday")))
