"""Units by pint, with the spellings of the catalogue that pint does not have."""

from __future__ import annotations

from functools import cache
from typing import Any

import pint


@cache
def _units() -> pint.UnitRegistry[Any]:
    units: pint.UnitRegistry[Any] = pint.UnitRegistry(cache_folder=None)
    for definition in (
        "pct = 0.01",
        "state = 1",
        "m3 = m ** 3",
        "m2 = m ** 2",
        "var = W",
        "kvarh = kWh",
        "Gcal = 1163 kWh",
        "ppb = 1e-9",
    ):
        units.define(definition)
    return units


def linear(unit: str, target: str) -> tuple[float, float]:
    """(factor, zero) so that a value in `target` is a value in `unit` · factor + zero.

    Raises ValueError if a unit is unknown or they do not fit.
    """
    units = _units()
    try:
        # Two points tell a linear conversion with its offset (degrees Fahrenheit).
        zero = float(units.Quantity(0.0, unit).to(target).magnitude)
        return float(units.Quantity(1.0, unit).to(target).magnitude) - zero, zero
    except Exception as error:  # pint raises errors of many bases, from undefined names to failed conversions
        raise ValueError(str(error)) from None
