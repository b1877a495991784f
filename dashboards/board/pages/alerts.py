"""Open alerts, one alert, and taking an alert over."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from catalogue.metrics import MAIN_COUNTER, Metric, metrics
from dashboards.board import security
from dashboards.board.charts import time_chart
from dashboards.board.formatting import Formatter
from dashboards.board.metrics import acknowledgements
from dashboards.board.visit import NAME_COOKIE, Visit, not_found
from store import board as store
from store.board import AlertFilter, Row

KINDS = ["electricity", "heat", "gas", "water", "bin", "weather", "indoor"]

#: For how many hours an alert can be taken over; 0 = until it ends.
REMIND_HOURS = [0, 4, 24, 72]

_CHART_BEFORE = timedelta(hours=24)
_CHART_AFTER = timedelta(hours=12)
_CHART_LONGEST = timedelta(days=14)
_MAX_ID = 2**63 - 1


def alert_list(visit: Visit) -> Response:
    """`/`: what needs doing."""
    zones, contractors = store.zones(visit.connection), store.contractors(visit.connection)
    chosen = AlertFilter(
        visit.choice("kind", KINDS),
        visit.choice("zone", [row["id"] for row in zones]),
        visit.choice("contractor", [row["id"] for row in contractors]),
    )
    return visit.page(
        "alerts.html",
        open_alerts=store.open_alerts(visit.connection, chosen, acknowledged=False),
        acknowledged=store.open_alerts(visit.connection, chosen, acknowledged=True),
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
    alert = store.alert(visit.connection, episode_id) if episode_id <= _MAX_ID else None
    if alert is None:
        raise not_found()
    course = [{"at": row["event_at"], "transition": row} for row in store.transitions(visit.connection, episode_id)] + [
        {"at": row["acked_at"], "ack": row} for row in store.acknowledgements(visit.connection, episode_id)
    ]
    chart, chart_label = _chart(visit, alert)
    return visit.page(
        "alert.html",
        alert=alert,
        course=sorted(course, key=lambda entry: entry["at"]),
        evidence=list(_evidence(alert["evidence"], visit.formatter)),
        limit=_limit_of(alert),
        chart=chart,
        chart_label=chart_label,
        remind_hours=REMIND_HOURS,
    )


def acknowledge(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /alerts/{id}/acknowledge`: somebody takes care of it."""
    if not security.same_origin(visit.request):
        return _refused(visit, "origin", 403)
    if not security.token_is_right(visit.request, form.get(security.TOKEN_FIELD, "")):
        return _refused(visit, "token", 403)
    name, note = _one_line(form.get("name", "")), _one_line(form.get("note", ""))
    if not name:
        return _refused(visit, "name", 400)
    if len(name) > 80 or len(note) > 1000:
        return _refused(visit, "long", 400)
    hours = {str(hours): hours for hours in REMIND_HOURS}.get(form.get("hours", ""), 0)
    episode_id = visit.request.path_params["episode_id"]
    if episode_id > _MAX_ID or not store.acknowledge(visit.connection, episode_id, name, note, hours or None):
        return _refused(visit, "ended", 409)
    acknowledgements.inc()
    response = RedirectResponse(security.safe_back(form.get("back", "/")), 303)
    security.set_cookie(visit.request, response, NAME_COOKIE, quote(name))
    return response


def _refused(visit: Visit, why: str, status: int) -> Response:
    write = visit.formatter
    return visit.page(
        "error.html",
        status=status,
        title=write.text("ack.error.title"),
        sentence=write.text(f"ack.error.{why}"),
        retry_s=None,
    )


def _one_line(text: str) -> str:
    """Without control characters, and blanks as one."""
    return " ".join("".join(" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in text).split())


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
