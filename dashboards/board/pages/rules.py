"""The rules in force, and one: what it asks for, how it does, and its truth at a point over time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from catalogue.metrics import metrics
from dashboards.board.charts import Band, time_chart
from dashboards.board.rulebook import RuleBook, RuleCourse
from dashboards.board.visit import Visit, not_found
from store import board as store
from store.board import Row

DAYS = ["2", "7", "30"]

#: In the list to choose from; every point can be named in the address.
_MOST_POINTS = 300
_AFTER_ALERT = timedelta(hours=12)


def rule_list(visit: Visit) -> Response:
    """`/rules`: every rule in force."""
    counts = {row["rule_id"]: row for row in store.rule_counts(visit.connection)}
    none = {"open_now": 0, "fired_30_days": 0, "was_right": 0, "was_false": 0}
    rules = _book(visit).rules(visit.connection, visit.language)
    return visit.page("rules.html", rules=[(rule, counts.get(rule.rule_id, none)) for rule in rules])


def one_rule(visit: Visit) -> Response:
    """`/rules/{id}`: one rule; `?point=` is drawn, over `?days=`, until the alert `?at=` or now."""
    book, rule_id = _book(visit), visit.request.path_params["rule_id"]
    rules = book.rules(visit.connection, visit.language)
    rule = next((each for each in rules if each.rule_id == rule_id), None)
    if rule is None:
        raise not_found()
    alerts = store.rule_alerts(visit.connection, rule_id)
    # Where there were alerts lately there is something to see.
    recent = [row["code"] for row in alerts if row["code"] in rule.points]
    codes = list(dict.fromkeys([*recent, *rule.points]))
    code = visit.choice("point", codes) or next(iter(codes), None)
    days = visit.choice("days", DAYS) or "7"
    at = _asked_alert(visit, rule_id)
    now = visit.formatter.now
    stop = min(now, (at["resolved_at"] or now) + _AFTER_ALERT) if at else now
    course = book.course(visit.connection, rule_id, code, stop - timedelta(days=int(days)), stop) if code else None
    shown = codes[:_MOST_POINTS]
    if code is not None and code not in shown:
        shown = [code, *shown]
    return visit.page(
        "rule.html",
        rule=rule,
        tests=book.tests(visit.connection, rule_id),
        alerts=alerts,
        codes=shown,
        more=len(codes) - len(shown),
        code=code,
        days=days,
        all_days=DAYS,
        at=at["episode_id"] if at else None,
        course=course,
        **_drawn(visit, code, course, stop - timedelta(days=int(days)), stop),
    )


def _book(visit: Visit) -> RuleBook:
    if visit.config.rules is None:
        raise not_found()
    return visit.config.rules


def _asked_alert(visit: Visit, rule_id: str) -> Row | None:
    """The alert of this rule by whose end the chart ends."""
    asked = visit.request.query_params.get("at", "")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 19 else 0
    alert = store.alert(visit.connection, number) if number else None
    return alert if alert is not None and alert["rule_id"] == rule_id else None


def _drawn(visit: Visit, code: str | None, course: RuleCourse | None, start: Any, stop: Any) -> dict[str, Any]:
    """The chart and what it shows."""
    nothing: dict[str, Any] = {"chart": None, "chart_label": ""}
    point = store.point_by_code(visit.connection, code) if code else None
    if course is None or point is None:
        return nothing
    write, metric = visit.formatter, metrics()[course.metric]
    step = max(timedelta(minutes=1), (stop - start) / 300)
    if metric.kind == "counter":
        step = timedelta(hours=1)
        rows = store.hourly(visit.connection, point["point_id"], metric.id, start, stop)
        name = write.text("alert.per_hour", carrier=write.term("kind", point["kind"]))
    else:
        rows = store.series(visit.connection, point["point_id"], metric.id, start, stop, step.total_seconds())
        name = metric.uk if write.language == "uk" else metric.en
    if not rows:
        return nothing
    unit = write.term("unit", metric.unit)
    label = f"{name}, {unit}" if unit else name
    bands: list[list[Band]] = [
        [(begin, end, write.text(f"rule.{truth}")) for its, begin, end in course.spans if its == truth]
        for truth in ("true", "false", "unknown")
    ]
    bands.append([(max(start, fired), ended or stop, write.text("rule.fired")) for fired, ended in course.alerts])
    chart: Markup = time_chart(
        [(row["time"], row["value"]) for row in rows],
        write,
        label=f"{label}. {write.text('rule.chart')}",
        unit=metric.unit,
        start=start,
        stop=stop,
        full_scale=(0, 100) if metric.name == "fill_level_pct" else None,
        from_zero=metric.kind == "counter",
        limit=course.limit if metric.kind != "counter" else None,
        gap=max(4 * step, timedelta(seconds=4 * point["interval_s"])),
        bands=bands,
        most_ticks=4,
    )
    return {"chart": chart, "chart_label": label}
