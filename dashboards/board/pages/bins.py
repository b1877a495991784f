"""Bins to empty, and one bin."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

from starlette.responses import Response

from catalogue.inventory import Fraction
from catalogue.metrics import metrics
from dashboards.board.charts import time_chart
from dashboards.board.visit import Visit, not_found
from store import board as store
from store.board import FULL_PCT, BinFilter

FRACTIONS = list(get_args(Fraction))

_CHART_SPAN = timedelta(days=14)
_CHART_STEP = timedelta(hours=1)
_COLLECTIONS_SPAN = timedelta(days=30)


def bin_list(visit: Visit) -> Response:
    """`/bins`: soonest full first."""
    zones, contractors = store.zones(visit.connection), store.contractors(visit.connection)
    chosen = BinFilter(
        visit.choice("zone", [row["id"] for row in zones]),
        visit.choice("contractor", [row["id"] for row in contractors]),
        visit.choice("fraction", FRACTIONS),
    )
    return visit.page(
        "bins.html",
        bins=store.bins(visit.connection, chosen),
        fractions=FRACTIONS,
        zones=zones,
        contractors=contractors,
        chosen=chosen,
        filtered=chosen != BinFilter(),
        full_pct=FULL_PCT,
        old_after=timedelta(hours=3),
    )


def one_bin(visit: Visit) -> Response:
    """`/bins/{code}`: fill over two weeks, with each emptying."""
    code = visit.request.path_params["code"]
    row = store.bin_by_code(visit.connection, code) if "\0" not in code else None
    if row is None:
        raise not_found()
    write = visit.formatter
    start = write.now - _CHART_SPAN
    collections = store.collections(visit.connection, row["point_id"], write.now - _COLLECTIONS_SPAN)
    fill = store.series(
        visit.connection,
        row["point_id"],
        metrics()["fill_level_pct"].id,
        start,
        write.now,
        _CHART_STEP.total_seconds(),
    )
    chart = None
    if fill:
        chart = time_chart(
            [(point["time"], point["value"]) for point in fill],
            write,
            label=write.text("bin.chart"),
            unit="pct",
            start=start,
            stop=write.now,
            full_scale=(0, 100),
            marks=[
                (entry["time"], entry["fill_before_pct"], write.text("bin.collection"))
                for entry in collections
                if entry["time"] >= start
            ],
            gap=max(3 * _CHART_STEP, timedelta(seconds=4 * row["interval_s"])),
        )
    return visit.page(
        "bin.html",
        bin=row,
        collections=collections,
        chart=chart,
        full_pct=FULL_PCT,
        old_after=timedelta(hours=3),
        alerts=store.place_alerts(visit.connection, point=row["point_id"]),
    )
