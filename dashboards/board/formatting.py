"""Numbers, dates and ages as people of each language write them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent

from dashboards.board.messages import Language, has_message, locale_of, message

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def plain(text: str, limit: int = 160) -> str:
    """Foreign text made safe to look at: control and direction characters replaced, cut after `limit` characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(_REPLACEMENT if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn"} else c for c in cut)


@dataclass(frozen=True)
class Formatter:
    """Writes values for one reader. `now` is the moment that the page is made for, with a time zone."""

    language: Language
    zone: ZoneInfo
    now: datetime
    currency: str

    def text(self, key: str, **values: Any) -> str:
        """The message `key`."""
        return message(self.language, key, **values)

    def term(self, group: str, code: str | None) -> str:
        """The word for a code of a closed list, as `fraction.glass`; the code itself where there is no word."""
        if not code:
            return self.text("word.none")
        key = f"{group}.{code}"
        return self.text(key) if has_message(key) else plain(code)

    def pick(self, row: Any, name: str) -> str:
        """The column `name` of a row in the reader's language; empty if it is not filled."""
        return row[f"{name}_{self.language}"] or ""

    def number(self, value: float | None, digits: int | None = None) -> str:
        """A number with its group and decimal signs; without `digits`, three significant ones below 100."""
        if value is None:
            return self.text("word.none")
        if digits is None:
            size = abs(value)
            digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 3
        rounded = round(value, digits) + 0.0  # turns -0.0 into 0.0
        # `@` would give significant digits, but keeps zeros; # drops them.
        return format_decimal(rounded, "#,##0." + "#" * digits if digits else "#,##0", locale_of(self.language))

    def amount(self, value: float | None, unit: str, digits: int | None = None) -> str:
        """A number with its unit, kept on one line."""
        if value is None:
            return self.text("word.none")
        sign = self.term("unit", unit) if unit else ""
        if unit == "pct":
            return format_percent(round(value) / 100, "#,##0%", locale_of(self.language))
        return f"{self.number(value, digits)}\N{NO-BREAK SPACE}{sign}".rstrip()

    def share(self, value: float) -> str:
        """A share of 1 as per cent."""
        return format_percent(value, "#,##0%", locale_of(self.language))

    def money(self, value: float | None) -> str:
        """A sum in the city's currency, without hundredths."""
        if value is None:
            return self.text("word.none")
        return format_currency(
            round(value), self.currency, "#,##0\N{NO-BREAK SPACE}¤", locale_of(self.language), currency_digits=False
        )

    def local(self, moment: datetime) -> datetime:
        """The city's own time."""
        return moment.astimezone(self.zone)

    def today(self) -> date:
        """The city's day of `now`."""
        return self.local(self.now).date()

    def time(self, moment: datetime | None) -> str:
        """Hour and minute; with the day if that is not today, with the year if that is not this one."""
        if moment is None:
            return self.text("word.never")
        local, locale = self.local(moment), locale_of(self.language)
        clock = format_time(local, "HH:mm", locale=locale)
        if local.date() == self.today():
            return clock
        pattern = "d MMM" if local.year == self.today().year else "d MMM y"
        return f"{format_date(local, pattern, locale)}, {clock}"

    def exact(self, moment: datetime) -> str:
        """Day and time to the second, for a hint."""
        return format_datetime(self.local(moment), "d MMMM y, HH:mm:ss", locale=locale_of(self.language))

    def day(self, day: date) -> str:
        """Day and month."""
        return format_date(day, "d MMM", locale_of(self.language))

    def tick(self, moment: datetime) -> str:
        """The mark of a time axis: the day at midnight, else hour and minute."""
        local = self.local(moment)
        return format_time(local, "HH:mm", locale=locale_of(self.language)) if local.hour else self.day(local.date())

    def age(self, length: timedelta) -> str:
        """A length of time in the largest unit of which it holds two: `90 minutes`, `3 hours`."""
        return format_timedelta(length, granularity="second", threshold=2.0, locale=locale_of(self.language))

    def age_s(self, seconds: float) -> str:
        """A length of time in seconds, as `age`."""
        return self.age(timedelta(seconds=seconds))

    def ago(self, moment: datetime) -> str:
        """How long ago, or in how long: `3 hours ago`, `in 2 days`."""
        length = moment - self.now
        if abs(length) < timedelta(seconds=2):
            return self.text("word.now")
        return format_timedelta(
            length, granularity="second", threshold=2.0, add_direction=True, locale=locale_of(self.language)
        )
