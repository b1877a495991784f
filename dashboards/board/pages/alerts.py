"""Open alerts, one alert, and taking an alert over."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from catalogue.metrics import MAIN_COUNTER, Metric, metrics
from dashboards.board import security
from dashboards.board.charts import time_chart
from dashboards.board.metrics import acknowledgements
from dashboards.board.visit import NAME_COOKIE, Visit, not_found
from store import board as store
from store.board import AlertFilter, Row

KINDS = ["electricity", "heat", "gas", "water", "bin", "weather"]

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
    return visit.page(
        "alert.html",
        alert=alert,
        course=sorted(course, key=lambda entry: entry["at"]),
        evidence=list(_evidence(alert["evidence"])),
        chart=_chart(visit, alert),
        remind_hours=REMIND_HOURS,
    )


def acknowledge(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /alerts/{id}/acknowledge`: somebody takes care of it."""
    write = visit.formatter
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
    response.headers["Content-Language"] = write.language
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


def _evidence(evidence: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and value of each figure, nested names joined by a dot; at most what a person reads."""
    if not isinstance(evidence, dict):
        return
    for key, value in list(evidence.items())[:30]:
        if isinstance(value, dict):
            yield from _evidence(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:g}" if isinstance(value, float) else str(value)


def _chart(visit: Visit, alert: Row) -> Markup | None:
    """The readings that the rule judged, from a day before the breach until half a day after the end."""
    metric = _metric_of(alert)
    if metric is None:
        return None
    now = visit.formatter.now
    stop = min(now, (alert["resolved_at"] or now) + _CHART_AFTER)
    start = max(alert["breached_at"] - _CHART_BEFORE, stop - _CHART_LONGEST)
    if metric.kind == "counter":
        rows = store.hourly(visit.connection, alert["point_id"], metric.id, start, stop)
        unit, bucket = metric.unit, timedelta(hours=1)
    else:
        bucket = max(timedelta(minutes=1), (stop - start) / 300)
        rows = store.series(visit.connection, alert["point_id"], metric.id, start, stop, bucket.total_seconds())
        unit = metric.unit
    if not rows:
        return None
    write = visit.formatter
    limit = alert["evidence"].get("threshold") if isinstance(alert["evidence"], dict) else None
    marks: list[tuple[datetime, float, str]] = []
    return time_chart(
        [(row["time"], row["value"]) for row in rows],
        write,
        label=metric.uk if write.language == "uk" else metric.en,
        unit=unit,
        start=start,
        stop=stop,
        full_scale=(0, 100) if metric.name == "fill_level_pct" else None,
        marks=marks,
        limit=float(limit) if isinstance(limit, int | float) and metric.kind != "counter" else None,
        gap=max(4 * bucket, timedelta(seconds=4 * alert["interval_s"])),
    )


def _metric_of(alert: Row) -> Metric | None:
    """The metric that the alert is about: what its evidence or its rule names, else the point's main one."""
    named = _first_metric(alert["evidence"]) or _first_metric(alert["definition"])
    if named is None:
        named = "fill_level_pct" if alert["kind"] == "bin" else MAIN_COUNTER.get(alert["kind"] or "")
    return metrics().get(named) if named else None


def _first_metric(node: Any) -> str | None:
    """The first known metric that stands under a key `metric`, at any depth."""
    if isinstance(node, dict):
        named = node.get("metric")
        if isinstance(named, str) and named in metrics():
            return named
        node = list(node.values())
    if isinstance(node, list):
        return next((found for child in node if (found := _first_metric(child))), None)
    return None
