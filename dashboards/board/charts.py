"""Charts as SVG that stands in the page: drawn by pygal, coloured by the board's own style sheet.

pygal's own styles and scripts are taken out, so that the page's content security policy holds and dark mode works;
its hidden descriptions become `<title>`, which browsers show on hover and screen readers read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from dashboards.board.drawing import Bar, DateTimeLine
from dashboards.board.formatting import Formatter

_WIDTH, _HEIGHT = 720, 260

# Room for labels that the style sheet enlarges on phones; pygal reckons with its own sizes.
_MARGINS = {"margin_left": 24, "margin_right": 24, "margin_top": 14, "margin_bottom": 18}

#: Of the chart's height, what bands take beneath the curve.
_BANDS = 0.22

Point = tuple[datetime, float | None]

#: From, until, and what it is.
Band = tuple[datetime, datetime, str]


def _config(**extra: Any) -> dict[str, Any]:
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "css": [],
        "js": [],
        "disable_xml_declaration": True,
        "show_legend": False,
        "no_data_text": "",
        "truncate_label": -1,
        "spacing": 8,
        **_MARGINS,
        **extra,
    }


def time_chart(
    points: Sequence[Point],
    formatter: Formatter,
    *,
    label: str,
    unit: str,
    start: datetime,
    stop: datetime,
    full_scale: tuple[float, float] | None = None,
    from_zero: bool = False,
    marks: Sequence[tuple[datetime, float, str]] = (),
    limit: float | None = None,
    gap: timedelta | None = None,
    bands: Sequence[Sequence[Band]] = (),
    most_ticks: int = 7,
) -> Markup:
    """A line over time. Nothing is drawn across a `gap`; `marks` are single dots with a word; `limit` a straight line.

    Each of `bands` is a kind of band beneath the curve; the first four kinds have colours in the style sheet, and the
    fourth has a row of its own.

    `label` says what it shows, for those who do not see it.
    """
    shown = [value for _, value in points if value is not None] + [value for _, value, _ in marks]
    if limit is not None:
        shown.append(limit)
    if from_zero:
        shown.append(0.0)
    ticks = full_scale_ticks(*full_scale) if full_scale else nice_ticks(min(shown), max(shown))
    chart = DateTimeLine(
        **_config(
            xrange=(start.timestamp(), stop.timestamp()),
            range=(ticks[0] - (_BANDS * (ticks[-1] - ticks[0]) if bands else 0), ticks[-1]),
            allow_interruptions=True,
            dots_size=2,
            value_formatter=lambda value: formatter.amount(value, unit),
        )
    )
    chart.x_labels = _time_ticks(start, stop, formatter, most_ticks)
    chart.x_value_formatter = formatter.tick
    chart.y_labels = [{"value": tick, "label": formatter.number(tick)} for tick in ticks]
    chart.add(label, [_dot(moment, value, formatter, unit) for moment, value in _with_gaps(points, gap)])
    chart.add(
        "",
        [
            {"value": (moment, value), "label": f"{word}: {formatter.amount(value, unit)}, {formatter.time(moment)}"}
            for moment, value, word in marks
        ],
        stroke=False,
        dots_size=5,
    )
    if limit is not None or bands:
        chart.add("", [(start, limit), (stop, limit)] if limit is not None else [], show_dots=False)
    for kind, its in enumerate(bands):
        height = ticks[0] - (ticks[-1] - ticks[0]) * (_BANDS * (0.45 if kind < 3 else 0.85))
        chart.add("", [part for band in its for part in _band(band, height, formatter)], dots_size=4)
    return _svg(chart, label)


def bar_chart(bars: Sequence[tuple[date, float | None]], formatter: Formatter, *, label: str, unit: str) -> Markup:
    """A bar for each day."""
    top = max((value for _, value in bars if value is not None), default=0.0)
    ticks = nice_ticks(0.0, top)
    chart = Bar(
        **_config(
            range=(0, ticks[-1]),
            value_formatter=lambda value: formatter.amount(value, unit),
            show_minor_x_labels=False,
        )
    )
    names = [formatter.day(day) for day, _ in bars]
    chart.x_labels = names
    step = max(1, math.ceil(len(names) / 5))
    chart.x_labels_major = names[::step]
    chart.y_labels = [{"value": tick, "label": formatter.number(tick)} for tick in ticks]
    chart.add(
        label,
        [None if value is None else {"value": value, "label": formatter.day(day)} for day, value in bars],
    )
    return _svg(chart, label)


def nice_ticks(low: float, high: float) -> list[float]:
    """About five round values that hold `low` and `high` between the first and the last."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        last += 1
    return [round(index * step, 10) for index in range(first, last + 1)]


def full_scale_ticks(low: float, high: float) -> list[float]:
    """Five values from `low` to `high`."""
    return [low + (high - low) * quarter / 4 for quarter in range(5)]


def _time_ticks(start: datetime, stop: datetime, formatter: Formatter, most: int = 7) -> list[datetime]:
    """At most `most` round local times: midnights for a span of days, else round hours."""
    hours = (stop - start) / timedelta(hours=1)
    step_h = next((step for step in (1, 2, 3, 6, 12, 24, 48, 72, 96, 168) if hours / step <= most + 0.5), 24 * 30)
    local = formatter.local(start).replace(minute=0, second=0, microsecond=0)
    ticks = []
    midnight = local.replace(hour=0)
    while midnight <= stop:
        if midnight >= start:
            ticks.append(midnight)
        midnight = (midnight.replace(tzinfo=None) + timedelta(hours=step_h)).replace(tzinfo=local.tzinfo)
    return ticks


def _with_gaps(points: Sequence[Point], gap: timedelta | None) -> list[Point]:
    drawn: list[Point] = []
    for moment, value in points:
        if gap is not None and drawn and moment - drawn[-1][0] > gap:
            drawn.append((drawn[-1][0] + gap / 2, None))
        drawn.append((moment, value))
    return drawn


def _dot(moment: datetime, value: float | None, formatter: Formatter, unit: str) -> Any:
    if value is None:
        return (moment, None)
    return {"value": (moment, value), "label": f"{formatter.time(moment)}: {formatter.amount(value, unit)}"}


def _band(band: Band, height: float, formatter: Formatter) -> list[Any]:
    begin, end, word = band
    text = f"{word}: {formatter.time(begin)} – {formatter.time(end)}"
    return [
        {"value": (begin, height), "label": text},
        {"value": (end, height), "label": text},
        (end, None),
    ]


_Element = ElementTree.Element

_COORDINATES = {"x", "y", "cx", "cy", "width", "height", "d"}
_LONG_NUMBER = re.compile(r"\d+\.\d{2,}")


def _svg(chart: Any, label: str) -> Markup:
    root: _Element = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag in {"defs", "style", "script"} or _is_overlay(child):
                parent.remove(child)
        parent.attrib.pop("style", None)
        for name in _COORDINATES & parent.attrib.keys():
            parent.set(name, _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.4g}", parent.attrib[name]))
        _describe(parent)
    root.attrib.pop("id", None)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", label)
    title = root.find("title")
    if title is not None:
        root.remove(title)
    # ElementTree escapes every text and attribute.
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))


def _is_overlay(element: _Element) -> bool:
    classes = element.get("class", "").split()
    return "text-overlay" in classes or "tooltip-overlay" in classes or "titles" in classes


def _describe(element: _Element) -> None:
    """Turn pygal's descriptions for its script into one `<title>`."""
    notes = {(note.get("class") or "").split()[0]: note for note in element.findall("desc")}
    if not notes:
        return
    for note in notes.values():
        element.remove(note)
    for note in element.findall("desc"):
        element.remove(note)
    text = _text(notes, "label") or _text(notes, "value")
    name = _text(notes, "x_label")
    if name and text == name:
        text = f"{name}: {_text(notes, 'value')}"
    title = ElementTree.Element("title")
    title.text = text
    element.insert(0, title)


def _text(notes: dict[str, _Element], key: str) -> str:
    return (notes[key].text or "") if key in notes else ""
