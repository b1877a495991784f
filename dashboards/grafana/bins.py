"""Bins: which are full, which will be, and how well the rounds fit."""

from __future__ import annotations

from dashboards.grafana.kit import CRITICAL, FINE, WARNING, WATCH, Page, Steps, bars, city_map, curve, number, rows

UID = "misto-bins"

_LEVELS = Steps(FINE, ((60, WATCH), (80, WARNING), (95, CRITICAL)))


def page() -> Page:
    """All bins, and one of them in detail."""
    bins = Page(UID, "Bins", "Which bins are full, which will be, and how well the rounds fit.")
    bins.choose("zone", "Zone", "grafana_common.zones", several=True)
    bins.choose("fraction", "Fraction", "grafana_common.fractions", several=True)
    bins.choose("contractor", "Contractor", "grafana_common.contractors", several=True)
    bins.choose("bin", "Bin", "grafana_common.bins")
    bins.annotate("Emptied", "grafana_bins.annotations")
    bins.add(number("Now", "By fill level and forecast.", "grafana_bins.counts", "none"), 24, 4)
    bins.add(
        city_map("Where", "Stands by their fullest bin.", "grafana_bins.map", steps=_LEVELS), 12, 12,
    )  # fmt: skip
    bins.add(bars("Fullest", "The 25 fullest bins.", "grafana_bins.levels", "percent", steps=_LEVELS), 12, 12)
    bins.add(
        rows("Soonest full", "The forecast is good to some 16 points of fill: mind its band.", "grafana_bins.soonest",
             units={"Fill": "percent", "Battery": "percent"},
             links={"Bin": "/d/misto-bins?var-bin=${__data.fields.Code}"}), 24, 10,
    )  # fmt: skip
    bins.add(curve("Fill of the chosen bin", "Emptyings are marked.", "grafana_bins.curve", "percent", steps=_LEVELS),
             16, 9)  # fmt: skip
    bins.add(curve("Its sensor", "Temperature and battery.", "grafana_bins.sensor", "none"), 8, 9)
    bins.add(
        rows("Rounds", "How full bins were when emptied: under half is a wasted stop, at the top it was late.",
             "grafana_bins.service",
             units={"Fill before": "percent", "Under half": "percent", "Overflowing": "percent"}), 24, 6,
    )  # fmt: skip
    return bins
