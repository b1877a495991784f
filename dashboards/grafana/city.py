"""City overview: what needs somebody now, and where."""

from __future__ import annotations

from dashboards.grafana.kit import CRITICAL, FINE, WARNING, WATCH, Page, Steps, city_map, curve, number, rows

UID = "misto-city"


def page() -> Page:
    """The city overview."""
    city = Page(UID, "City overview", "What needs somebody now, and what the city uses.")
    open_steps = Steps(FINE, ((1, WARNING),))
    city.add(
        number("Needs attention", "Open alerts, full bins and devices that do not report.", "grafana_city.attention",
               "none", steps=open_steps), 12, 4,
    )  # fmt: skip
    city.add(
        number("Since the last reading", "Minutes here mean that nothing comes in any more.",
               "grafana_city.last_reading", "s", steps=Steps(FINE, ((900, WARNING), (3600, CRITICAL)))), 3, 4,
    )  # fmt: skip
    for title, query, unit in (
        ("Electricity", "grafana_city.electricity_today", "kwatth"),
        ("Heat", "grafana_city.heat_today", "kwatth"),
        ("Water", "grafana_city.water_today", "m3"),
    ):
        city.add(number(title, "Today so far, and the same hours a week ago.", query, unit), 3, 4)
    city.add(
        city_map("Where", "Places by their worst open alert: 0 none, 1 information, 2 warning, 3 critical.",
                 "grafana_city.map", steps=Steps(FINE, ((1, WATCH), (2, WARNING), (3, CRITICAL)))), 10, 13,
    )  # fmt: skip
    city.add(
        rows("Open alerts", "The worst first. Acknowledge on the board.", "grafana_city.open_alerts",
             links={"Place": "/d/misto-building?var-site=${__data.fields.Site}"}), 14, 13,
    )  # fmt: skip
    city.add(
        curve("Energy by hour", "Electricity and heat of all public buildings.", "grafana_city.hourly", "kwatth"), 12, 8
    )
    city.add(
        curve("Alerts by day", "How many alerts were raised.", "grafana_city.alerts_per_day", "none", bars=True), 12, 8
    )
    city.add(
        rows("Costlier than a week before",
             "The last 7 days against the 7 before. Heat follows the weather: compare buildings.",
             "grafana_city.wasters", units={"Cost of the change": "currencyUAH"},
             links={"Building": "/d/misto-building?var-site=${__data.fields.Site}"}), 24, 9,
    )  # fmt: skip
    return city
