"""Open alerts, and one alert."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, get_args

from markupsafe import Markup
from starlette.responses import Response

from catalogue.metrics import MAIN_COUNTER, Metric, metrics
from dashboards.board.charts import time_chart
from dashboards.board.formatting import Formatter
from dashboards.board.pages.care import MAX_ID, REMIND_HOURS
from dashboards.board.visit import Visit, not_found
from store import board as store
from store import silences
from store.board import AlertFilter, AlertSection, Row

KINDS = ["electricity", "heat", "gas", "water", "bin", "weather", "indoor"]

SECTIONS: tuple[AlertSection, ...] = get_args(AlertSection)

_CHART_BEFORE = timedelta(hours=24)
_CHART_AFTER = timedelta(hours=12)
_CHART_LONGEST = timedelta(days=14)


def alert_list(visit: Visit) -> Response:
    """`/`: what needs doing."""
    zones, contractors = store.zones(visit.connection), store.contractors(visit.connection)
    chosen = AlertFilter(
        visit.choice("kind", KINDS),
        visit.choice("zone", [row["id"] for row in zones]),
        visit.choice("contractor", [row["id"] for row in contractors]),
    )
    sections = {section: store.open_alerts(visit.connection, chosen, section) for section in SECTIONS}
    return visit.page(
        "alerts.html",
        open_alerts=sections["open"],
        acknowledged=sections["acknowledged"],
        silenced=sections["silenced"],
        folded=folded(store.hidden_alerts(visit.connection)),
        silences_active=silences.count_active(visit.connection),
        ended=store.ended_alerts(visit.connection, chosen),
        kinds=KINDS,
        zones=zones,
        contractors=contractors,
        chosen=chosen,
        filtered=chosen != AlertFilter(),
        remind_hours=REMIND_HOURS,
    )


def one_alert(visit: Visit) -> Response:
    """`/alerts/{id}`: one alert, how it came about, and the point's readings around it."""
    episode_id = visit.request.path_params["episode_id"]
    alert = store.alert(visit.connection, episode_id) if episode_id <= MAX_ID else None
    if alert is None:
        raise not_found()
    course = store.course(visit.connection, episode_id)
    chart, chart_label = _chart(visit, alert)
    return visit.page(
        "alert.html",
        alert=alert,
        course=course,
        feedback=next((entry for entry in reversed(course) if entry["what"] == "feedback"), None),
        folded=folded(store.hidden_alerts(visit.connection)),
        evidence=list(_evidence(alert["evidence"], visit.formatter)),
        limit=_limit_of(alert),
        chart=chart,
        chart_label=chart_label,
        remind_hours=REMIND_HOURS,
    )


def folded(hidden: Sequence[Row]) -> dict[int, list[Row]]:
    """Hidden alerts by the one at the top that hides them, over however many others."""
    causes = {row["episode_id"]: row["hidden_by"] for row in hidden}
    groups: dict[int, list[Row]] = {}
    for row in hidden:
        top = row["hidden_by"]
        for _ in causes:
            top = causes.get(top, top)
        groups.setdefault(top, []).append(row)
    return groups


def _evidence(evidence: Any, write: Formatter) -> Iterator[tuple[str, str]]:
    """Name and value of each figure, in the reader's words where there are words."""
    if not isinstance(evidence, dict):
        return
    for key, value in list(evidence.items())[:30]:
        if isinstance(value, dict):
            yield from _evidence(value, write)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield write.term("evidence", key), write.number(value)
        elif value is not None:
            metric = metrics().get(value) if isinstance(value, str) else None
            named = (metric.uk if write.language == "uk" else metric.en) if metric else str(value)
            yield write.term("evidence", key), named


def _limit_of(alert: Row) -> float | None:
    """The limit that the reading was held against, if it is one of the reading itself and not of a rate."""
    evidence = alert["evidence"]
    if not isinstance(evidence, dict) or not isinstance(evidence.get("when"), dict):
        return None
    limit = evidence.get("limit")
    of_readings = {"threshold", "any", "all"} & evidence["when"].keys()
    return float(limit) if of_readings and isinstance(limit, int | float) else None


def _chart(visit: Visit, alert: Row) -> tuple[Markup | None, str]:
    """The readings that the rule judged, from a day before the breach until half a day after it, and what they are."""
    now = visit.formatter.now
    stop = min(now, (alert["resolved_at"] or now) + _CHART_AFTER)
    start = max(alert["breached_at"] - _CHART_BEFORE, stop - _CHART_LONGEST)
    for metric in _metrics_of(alert):
        if metric.kind == "counter":
            step = timedelta(hours=1)
            rows = store.hourly(visit.connection, alert["point_id"], metric.id, start, stop)
        else:
            step = max(timedelta(minutes=1), (stop - start) / 300)
            rows = store.series(visit.connection, alert["point_id"], metric.id, start, stop, step.total_seconds())
        if rows:
            write = visit.formatter
            name, unit = (metric.uk if write.language == "uk" else metric.en), write.term("unit", metric.unit)
            if metric.kind == "counter":
                name = write.text("alert.per_hour", carrier=write.term("kind", alert["kind"]))
            label = f"{name}, {unit}" if unit else name
            chart = time_chart(
                [(row["time"], row["value"]) for row in rows],
                write,
                label=label,
                unit=metric.unit,
                start=start,
                stop=stop,
                full_scale=(0, 100) if metric.name == "fill_level_pct" else None,
                from_zero=metric.kind == "counter",
                limit=_limit_of(alert),
                gap=max(4 * step, timedelta(seconds=4 * alert["interval_s"])),
            )
            return chart, label
    return None, ""


def _metrics_of(alert: Row) -> list[Metric]:
    """What the alert may be about: the metrics that its evidence or its rule names, else the point's main one."""
    named = list(_named_metrics(alert["evidence"])) or list(_named_metrics(alert["definition"]))
    if not named:
        named = ["fill_level_pct" if alert["kind"] == "bin" else MAIN_COUNTER.get(alert["kind"] or "", "")]
    return [metrics()[name] for name in dict.fromkeys(named) if name in metrics()]


def _named_metrics(node: Any) -> Iterator[str]:
    """Every name that stands under a key `metric`, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get("metric"), str):
            yield node["metric"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _named_metrics(child)
