"""Hours in which rules are active: local days, overnight, holidays, and both clock changes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rules.calendars import Active, Hours, Span, public_holidays

KYIV = ZoneInfo("Europe/Kyiv")
MINUTE_US = 60_000_000


def hours(*windows: dict[str, Any], **more: Any) -> Hours:
    return Active.model_validate({"windows": list(windows), **more}).hours


def us(text: str) -> int:
    """Local time of Kyiv, or with an offset."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=KYIV)).timestamp() * 1e6)


def test_days_and_hours() -> None:
    one = hours({"days": "mon-sat", "from": "06:00", "to": "22:00"})
    assert one.open_at(us("2026-03-02T06:00"))
    assert not one.open_at(us("2026-03-02T05:59"))
    assert not one.open_at(us("2026-03-02T22:00"))
    assert not one.open_at(us("2026-03-01T12:00")), "a Sunday"
    assert one.ends_us(us("2026-03-02T07:00")) == us("2026-03-02T22:00")
    assert hours({"days": "fri-mon"}).open_at(us("2026-03-02T23:59"))
    assert not hours({"days": "fri-mon"}).open_at(us("2026-03-03T00:00"))


def test_overnight_belongs_to_the_day_on_which_it_begins() -> None:
    one = hours({"days": "fri", "from": "22:00", "to": "06:00"})
    assert one.open_at(us("2026-03-07T05:59"))
    assert not one.open_at(us("2026-03-06T05:00"))
    assert one.ends_us(us("2026-03-06T23:00")) == us("2026-03-07T06:00")


def test_windows_that_join_on_end_with_the_last() -> None:
    assert hours({"days": "sat, sun"}).ends_us(us("2026-03-07T10:00")) == us("2026-03-09T00:00")
    two = hours({"from": "06:00", "to": "12:00"}, {"from": "11:00", "to": "14:00"})
    assert two.ends_us(us("2026-03-07T06:30")) == us("2026-03-07T14:00")
    assert hours({"days": "mon-sun"}).ends_us(us("2026-03-07T10:00")) is None


def test_the_clock_changes() -> None:
    one = hours({"from": "01:00", "to": "05:00"})
    spring, autumn = us("2026-03-29T01:00"), us("2026-10-25T01:00")
    assert one.ends_us(spring) == spring + 3 * 60 * MINUTE_US
    assert one.ends_us(autumn) == autumn + 5 * 60 * MINUTE_US
    # 03:30 does not exist in spring, and comes twice in autumn.
    until = hours({"from": "01:00", "to": "03:30"})
    assert until.ends_us(spring) == us("2026-03-29T04:30+03:00")
    assert until.ends_us(autumn) == us("2026-10-25T03:30+02:00")
    since = hours({"from": "03:30", "to": "06:00"})
    assert not since.open_at(us("2026-03-29T04:15+03:00"))
    assert since.open_at(us("2026-03-29T04:30+03:00"))
    assert since.open_at(us("2026-10-25T03:30+03:00"))
    assert not since.open_at(us("2026-10-25T03:29+03:00"))


def test_holidays_take_out_the_windows_that_begin_on_them() -> None:
    night = {"from": "20:00", "to": "06:00"}
    one = hours(night, **{"except": ["holidays"]})
    assert date(2026, 8, 24) in public_holidays(2026)
    assert one.open_at(us("2026-08-24T05:00")), "it began the day before"
    assert not one.open_at(us("2026-08-24T21:00"))
    assert not one.open_at(us("2026-08-25T05:00"))
    spans = [{"from": "06-01", "to": "08-31"}, {"from": "12-25", "to": "01-08", "year": 2026}]
    school = hours({"days": "mon-fri"}, **{"except": ["school-holidays"], "school_holidays": spans})
    assert not school.open_at(us("2026-07-15T12:00"))
    assert school.open_at(us("2026-09-01T12:00"))
    assert school.open_at(us("2026-01-05T12:00")), "the winter that began in 2025"
    assert not school.open_at(us("2027-01-05T12:00"))


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"days": "mon-fry"}, "must be days of the week such as mon-fri"),
        ({"days": ""}, "must be days of the week"),
        ({"from": "6"}, "must be a local time"),
        ({"from": "06:00", "to": "25:00"}, "must be a local time"),
        ({"from": "06:00", "to": "06:00"}, "is no time at all"),
    ],
)
def test_impossible_windows(window: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        hours(window)
    with pytest.raises(ValidationError, match="must be a month and a day"):
        Span.model_validate({"from": "02-30", "to": "03-01"})


@given(
    begins=st.integers(0, 1439),
    length=st.integers(1, 1439),
    at=st.integers(us("2026-03-27T00:00") // MINUTE_US, us("2026-03-31T00:00") // MINUTE_US),
    zone=st.sampled_from(["Europe/Kyiv", "Asia/Kolkata", "America/St_Johns", "Pacific/Auckland"]),
)
def test_a_moment_is_inside_as_its_wall_clock_says(begins: int, length: int, at: int, zone: str) -> None:
    ends = (begins + length) % 1440

    def clock(minutes: int) -> str:
        return f"{minutes // 60:02}:{minutes % 60:02}"

    one = hours({"from": clock(begins), "to": clock(ends)}, time_zone=zone)
    wall = datetime.fromtimestamp(at * 60, ZoneInfo(zone))
    minute = wall.hour * 60 + wall.minute
    if wall.utcoffset() == datetime.fromtimestamp(at * 60 - 30 * 3600, ZoneInfo(zone)).utcoffset():
        assert one.open_at(at * MINUTE_US) == ((minute - begins) % 1440 < length)
