"""Consumption of the buildings, and of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from markupsafe import Markup
from starlette.responses import Response

from catalogue.metrics import MAIN_COUNTER, metrics
from dashboards.board.charts import bar_chart, time_chart
from dashboards.board.visit import Visit, not_found
from store import board as store
from store.board import Row

CARRIERS = list(MAIN_COUNTER)

#: What people feel in a room.
_ROOM_METRICS = ["temperature_c", "humidity_pct", "co2_ppm"]

_DAYS = 30
_HOURLY_SPAN = timedelta(days=3)


@dataclass(frozen=True)
class Use:
    """What one carrier came to, in `unit`; None where nothing is known."""

    carrier: str
    unit: str
    today: float | None
    month: float | None
    month_days: int
    month_cost: float | None
    today_cost: float | None
    per_m2: float | None
    change: float | None

    @property
    def trend(self) -> str:
        """More, less or the same as in the 30 days before; half a per cent is the same."""
        assert self.change is not None
        return "same" if abs(self.change) < 0.005 else "more" if self.change > 0 else "less"


def use_of(row: Row, floor_area_m2: float | None) -> Use:
    """A row of `store.board.consumption` as the page shows it. Months are compared only if both are (nearly) whole."""
    comparable = min(row["month_days"], row["before_days"]) >= _DAYS - 1 and row["before"]
    return Use(
        carrier=row["kind"],
        unit=metrics()[MAIN_COUNTER[row["kind"]]].unit,
        today=row["today"],
        month=row["month"],
        month_days=row["month_days"],
        month_cost=row["month_cost"],
        today_cost=row["today_cost"],
        per_m2=row["month"] / floor_area_m2 if row["month"] is not None and floor_area_m2 else None,
        change=row["month"] / row["before"] - 1 if comparable else None,
    )


def building_list(visit: Visit) -> Response:
    """`/buildings`: today and the last 30 days."""
    rows = _consumption(visit, None)
    buildings = store.buildings(visit.connection)
    areas = {row["id"]: row["floor_area_m2"] for row in buildings}
    uses: dict[str, list[Use]] = {row["id"]: [] for row in buildings}
    for row in rows:
        if row["site_id"] in uses:
            uses[row["site_id"]].append(use_of(row, areas[row["site_id"]]))
    ours = [row for row in rows if row["site_id"] in uses]
    return visit.page(
        "buildings.html",
        buildings=[(row, _in_order(uses[row["id"]])) for row in _by_name(visit, buildings)],
        total=_in_order(_total(ours, areas)),
    )


def one_building(visit: Visit) -> Response:
    """`/buildings/{id}`: its meters by day and by hour, and its alerts."""
    site = visit.request.path_params["site_id"]
    found = store.buildings(visit.connection, site) if "\0" not in site else []
    if not found:
        raise not_found()
    building = found[0]
    meters = [(meter, *_charts(visit, meter)) for meter in store.meters(visit.connection, building["id"], CARRIERS)]
    return visit.page(
        "building.html",
        building=building,
        uses=_in_order([use_of(row, building["floor_area_m2"]) for row in _consumption(visit, site)]),
        meters=meters,
        rooms=store.rooms(visit.connection, building["id"], _ROOM_METRICS),
        alerts=store.place_alerts(visit.connection, site=site),
    )


def _by_name(visit: Visit, buildings: list[Row]) -> list[Row]:
    return sorted(buildings, key=lambda row: visit.formatter.pick(row, "name").casefold())


def _in_order(uses: Iterable[Use]) -> list[Use]:
    return sorted(uses, key=lambda use: CARRIERS.index(use.carrier))


def _midnight(visit: Visit, day: date) -> datetime:
    return datetime.combine(day, time(), visit.formatter.zone)


def _consumption(visit: Visit, site: str | None) -> list[Row]:
    today = visit.formatter.today()
    return store.consumption(
        visit.connection,
        {kind: metrics()[name].id for kind, name in MAIN_COUNTER.items()},
        time_zone=str(visit.formatter.zone),
        today=today,
        start=_midnight(visit, today - timedelta(days=2 * _DAYS)),
        site=site,
    )


def _total(rows: list[Row], areas: Mapping[str, float | None]) -> list[Use]:
    """All buildings together, as complete as the least complete of them."""
    totals = []
    for kind in {row["kind"] for row in rows}:
        same = [row for row in rows if row["kind"] == kind]
        total: Row = {"kind": kind}
        for key in ("today", "today_cost", "month", "month_cost", "before"):
            known = [row[key] for row in same if row[key] is not None]
            total[key] = sum(known) if known else None
        for key in ("month_days", "before_days"):
            total[key] = min(row[key] for row in same)
        totals.append(use_of(total, sum(areas[row["site_id"]] or 0 for row in same)))
    return totals


def _charts(visit: Visit, meter: Row) -> tuple[Markup | None, Markup | None, str]:
    """By day for 30 days and by hour for three, None where nothing was counted; and the unit."""
    write = visit.formatter
    metric = metrics()[MAIN_COUNTER[meter["kind"]]]
    carrier, unit = write.term("kind", meter["kind"]), write.term("unit", metric.unit)
    today = write.today()
    first = today - timedelta(days=_DAYS - 1)
    amounts = {
        row["day"]: row["amount"]
        for row in store.daily(visit.connection, meter["point_id"], metric.id, _midnight(visit, first), str(write.zone))
    }
    daily = hourly = None
    if amounts:
        daily = bar_chart(
            [(first + timedelta(days=n), amounts.get(first + timedelta(days=n))) for n in range(_DAYS)],
            write,
            label=write.text("building.daily", carrier=carrier, unit=unit),
            unit=metric.unit,
        )
    start = write.now - _HOURLY_SPAN
    hours = store.hourly(visit.connection, meter["point_id"], metric.id, start, write.now)
    if hours:
        hourly = time_chart(
            [(row["time"], row["value"]) for row in hours],
            write,
            label=write.text("building.hourly", carrier=carrier, unit=unit),
            unit=metric.unit,
            start=start,
            stop=write.now,
            from_zero=True,
            gap=timedelta(hours=1, minutes=30),
        )
    return daily, hourly, metric.unit
