"""The board's texts, numbers and charts, without a database."""

from __future__ import annotations

import re
import string
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from catalogue.inventory import BuildingUse, Fraction, Point, PointKind
from catalogue.metrics import metrics
from catalogue.yamlfile import parse_yaml, validate
from dashboards.board.charts import bar_chart, nice_ticks, time_chart
from dashboards.board.formatting import Formatter, plain
from dashboards.board.messages import LANGUAGES, Language, choose_language, has_message, locale_of, message, messages
from dashboards.board.pages.buildings import use_of
from dashboards.board.pages.devices import inventory_lines, readable
from dashboards.board.security import safe_back
from ingest.errors import Reason

BOARD = Path(__file__).parents[2] / "dashboards" / "board"
SOURCES = [*BOARD.rglob("*.html"), *BOARD.rglob("*.py")]
NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
NBSP = "\N{NO-BREAK SPACE}"


def formatter(language: Language = "en") -> Formatter:
    return Formatter(language, ZoneInfo("Europe/Kyiv"), NOW, "UAH")


# texts


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(messages()))
def test_every_text_is_whole_in_both_languages(key: str) -> None:
    entry = messages()[key]
    assert set(entry) == set(LANGUAGES)
    fields = []
    for language in LANGUAGES:
        forms = entry[language]
        if isinstance(forms, str):
            fields.append(_fields(forms))
            continue
        assert set(forms) == locale_of(language).plural_form.tags | {"other"}
        for text in forms.values():
            assert "{n}" in text
            fields.append(_fields(text))
    assert all(other == fields[0] for other in fields), f"{key} names different values: {fields}"


def test_every_text_that_is_asked_for_exists_and_every_text_is_asked_for() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    asked = set(re.findall(r"""\b(?:t|text)\(\s*f?["']([a-z_.]+[a-z_])["']""", source))
    assert {key for key in asked if not has_message(key)} == set()
    groups = set(re.findall(r"""\bterm\(\s*["']([a-z_]+)["']""", source))
    groups |= set(re.findall(r"""["']([a-z_.]+)\.["'] ~""", source)) | set(
        re.findall(r"""f["']([a-z_.]+)\.\{""", source)
    )
    written = set(re.findall(r"""["']([a-z_]+\.[a-zA-Z_.]+)["']""", source))
    unused = [
        key for key in messages() if key not in asked | written and not any(key.startswith(f"{g}.") for g in groups)
    ]
    assert not unused, ", ".join(unused)


def test_closed_lists_have_their_words() -> None:
    wanted = [f"fraction.{code}" for code in get_args(Fraction)]
    wanted += [f"use.{code}" for code in get_args(BuildingUse)]
    wanted += [f"{group}.{code}" for code in get_args(PointKind) for group in ("kind", "one")]
    wanted += [f"unit.{metric.unit}" for metric in metrics().values()]
    wanted += [f"quarantine.{reason}" for reason in Reason]
    wanted += [f"effect.{service}" for service in ("ingest", "rules", "keeper")]
    assert [key for key in wanted if not has_message(key)] == []


def test_the_reasons_of_the_rules_are_those_that_the_rules_give() -> None:
    root = BOARD.parents[1]
    deciding = ("step.py", "judge.py", "ladder.py", "refold.py", "telling.py")
    given = "".join((root / "rules" / name).read_text(encoding="utf-8") for name in deciding)
    for path in ("sql/alerts.sql", "sql/telling.sql", "migrations/0013_lifecycle.sql"):
        given += (root / "store" / path).read_text(encoding="utf-8")
    reasons = [key.removeprefix("reason.") for key in messages() if key.startswith("reason.")]
    assert reasons
    assert [reason for reason in reasons if reason not in given] == []


@pytest.mark.parametrize(
    ("n", "form"),
    [
        (1, "1 будівля"), (2, "2 будівлі"), (5, "5 будівель"), (11, "11 будівель"),
        (21, "21 будівля"), (24, "24 будівлі"), (112, "112 будівель"),
    ],
)  # fmt: skip
def test_plurals_in_ukrainian(n: int, form: str) -> None:
    assert message("uk", "buildings.count", n=n) == form


@pytest.mark.parametrize(
    ("asked", "cookie", "accept", "language"),
    [
        ("en", "uk", "uk", "en"),
        (None, "en", "uk", "en"),
        (None, None, "en-GB,en;q=0.9,uk;q=0.8", "en"),
        (None, None, "de, en;q=0.5, uk-UA;q=0.7", "uk"),
        (None, None, "de", "uk"),
        (None, None, "", "uk"),
        ("xx", "../etc", "en;q=nonsense, ;;;=", "uk"),
    ],
)
def test_the_readers_language(asked: str | None, cookie: str | None, accept: str, language: str) -> None:
    assert choose_language(asked, cookie, accept, "uk") == language


# numbers and dates


@pytest.mark.parametrize(
    ("value", "en", "uk"),
    [
        (1234567.8, "1,234,568", f"1{NBSP}234{NBSP}568"),
        (99.96, "100", "100"),
        (12.345, "12.3", "12,3"),
        (0.0512, "0.051", "0,051"),
        (-0.0001, "0", "0"),
        (-12.5, "-12.5", "-12,5"),
        (None, "—", "—"),
    ],
)
def test_numbers(value: float | None, en: str, uk: str) -> None:
    assert (formatter("en").number(value), formatter("uk").number(value)) == (en, uk)


def test_amounts_and_money() -> None:
    assert formatter("en").amount(1234.5, "kWh") == f"1,234{NBSP}kWh"
    assert formatter("uk").amount(0.5, "m3") == f"0,5{NBSP}м³"
    assert formatter("uk").amount(83.6, "pct") == "84%"
    assert formatter("en").money(27974.4) == f"27,974{NBSP}UAH"
    assert formatter("uk").money(27974.4) == f"27{NBSP}974{NBSP}₴"


def test_times_are_the_citys() -> None:
    assert formatter("uk").time(NOW) == "08:30"
    assert formatter("uk").time(NOW - timedelta(days=2)) == "21 лист., 08:30"
    assert formatter("en").time(NOW - timedelta(days=400)) == "19 Oct 2025, 09:30"
    assert formatter("uk").ago(NOW - timedelta(minutes=21)) == "21 хвилину тому"
    assert formatter("en").ago(NOW + timedelta(hours=5)) == "in 5 hours"
    assert formatter("en").age(timedelta(minutes=90)) == "90 minutes"


def test_foreign_text_cannot_turn_the_line_round() -> None:
    assert plain("a\u202eb\u0000c\u200b") == "a\ufffdb\ufffdc\ufffd"
    assert plain("x" * 500, 10) == "x" * 9 + "…"


# charts


def test_a_chart_is_plain_svg_that_escapes_its_texts() -> None:
    points = [(NOW - timedelta(hours=n), float(n)) for n in range(24, 0, -1)]
    chart = time_chart(
        points, formatter(), label="<script>alert(1)</script>", unit="pct", start=NOW - timedelta(days=1), stop=NOW,
        full_scale=(0, 100), marks=[(NOW, 50.0, "<b>")], limit=80,
    )  # fmt: skip
    root = ElementTree.fromstring(chart)
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert tags <= {"svg", "g", "rect", "path", "text", "title", "circle"}
    assert not any(name.startswith("on") or name == "style" for element in root.iter() for name in element.attrib)
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    assert "07:30: 1%" in titles
    assert any(title and title.startswith("<b>: 50%") for title in titles)
    assert root.get("aria-label") == "<script>alert(1)</script>"


def test_nothing_is_drawn_across_a_gap() -> None:
    start = NOW - timedelta(hours=10)
    points = [(start + timedelta(hours=n), 1.0) for n in (0, 1, 2, 8, 9)]

    def lines(gap: timedelta | None) -> int:
        chart = time_chart(points, formatter(), label="x", unit="", start=start, stop=NOW, gap=gap)
        root = ElementTree.fromstring(chart)
        return sum("reactive" in (e.get("class") or "") and e.tag.endswith("path") for e in root.iter())

    assert (lines(None), lines(timedelta(hours=3))) == (1, 2)


def test_days_without_consumption_have_no_bar() -> None:
    chart = bar_chart(
        [(date(2026, 11, 1), 5.0), (date(2026, 11, 2), None), (date(2026, 11, 3), 0.5)],
        formatter("uk"), label="x", unit="kWh",
    )  # fmt: skip
    titles = [e.text for e in ElementTree.fromstring(chart).iter() if e.tag.endswith("title") and ":" in (e.text or "")]
    assert titles == [f"1 лист.: 5{NBSP}кВт·год", f"3 лист.: 0,5{NBSP}кВт·год"]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 7.3), (228, 254), (-5, 5), (0, 1e7), (5, 5), (0.01, 0.02)])
def test_ticks_hold_all_values(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1]
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))


# pages


@pytest.mark.parametrize(
    ("target", "back"),
    [
        ("/", "/"),
        ("/?kind=bin&zone=centre", "/?kind=bin&zone=centre"),
        ("/alerts/7", "/alerts/7"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/alerts/7\r\nSet-Cookie: x=y", "/"),
        ("/alerts/7\n", "/"),
        ("", "/"),
    ],
)
def test_returning_leads_to_the_board_only(target: str, back: str) -> None:
    assert safe_back(target) == back


@pytest.mark.parametrize("address", ["24e124713c140099", '"><script>', "a\u202eb: {", "--- |\n- x", "'", "#", "ї" * 60])
@pytest.mark.parametrize("kind", ["bin", "water", "unknown"])
def test_the_lines_for_the_inventory_are_a_point_of_an_inventory(address: str, kind: str) -> None:
    lines = inventory_lines({"address": address, "kind": kind, "profile": "milesight-em400-mud"})
    document = parse_yaml(lines, "pasted")
    assert isinstance(document.data, list)
    document.data = document.data[0]
    point = validate(document, Point)
    assert point.devices[0].address == "".join(address.split()).lower()
    assert point.devices[0].profile == "milesight-em400-mud"


def test_payloads_are_shown_as_text_if_they_are_text() -> None:
    assert readable("показ".encode()) == "показ"
    assert readable("показ".encode()[:-1]) == "пока"
    assert readable(b"\xff\xfe\x00\x01") == "ff fe 00 01"


def test_months_are_compared_only_if_both_are_whole() -> None:
    row = {
        "kind": "water", "today": 1.0, "today_cost": None, "month": 110.0, "month_cost": 50.0,
        "before": 100.0, "month_days": 30, "before_days": 30,
    }  # fmt: skip
    use = use_of(row, 1000.0)
    assert use.change == pytest.approx(0.1)
    assert (use.trend, use.per_m2) == ("more", pytest.approx(0.11))
    assert use_of(row | {"before_days": 12}, 1000.0).change is None
    assert use_of(row | {"before": None, "before_days": 0}, None).per_m2 is None
