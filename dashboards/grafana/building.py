"""Building energy: what a building uses, what it costs, and what stayed on at night."""

from __future__ import annotations

from dashboards.grafana.kit import CRITICAL, FINE, Page, Steps, curve, number, rows

UID = "misto-building"


def page() -> Page:
    """One building."""
    building = Page(UID, "Building energy", "What a building uses, what it costs, what stayed on.", since="now-30d")
    building.choose("site", "Building", "grafana_common.buildings")
    building.annotate("Alerts", "grafana_building.annotations")
    building.add(number("Cost", "At the tariffs of the time, for the range above.", "grafana_building.cost",
                        "currencyUAH"), 6, 4)  # fmt: skip
    building.add(number("Energy", "For the range above.", "grafana_building.energy", "kwatth"), 9, 4)
    building.add(number("Energy per square metre", "Electricity and heat, for the range above, in kWh.",
                        "grafana_building.per_square_metre", "none", decimals=2), 5, 4)  # fmt: skip
    building.add(number("Floor area", "From the inventory.", "grafana_building.facts", "areaM2"), 4, 4)
    building.add(curve("Energy by day", "Local days.", "grafana_building.daily_energy", "kwatth", bars=True), 12, 9)
    building.add(curve("Gas and water by day", "Local days.", "grafana_building.daily_volume", "m3", bars=True), 12, 9)
    building.add(curve("Energy by hour", "Alerts are marked.", "grafana_building.hourly", "kwatth"), 24, 9)
    building.add(
        curve("Night base load", "The least hour of electricity between 00:00 and 05:00 of each night.",
              "grafana_building.base_load", "kwatt"), 12, 8,
    )  # fmt: skip
    building.add(
        curve("Voltage", "EN 50160 allows 207 to 253 V.", "grafana_building.voltage", "volt",
              steps=Steps(CRITICAL, ((207, FINE), (253, CRITICAL)))), 12, 8,
    )  # fmt: skip
    building.add(rows("Alerts", "Of the range above, and what is open.", "grafana_building.alerts"), 24, 8)
    return building
