"""Units: from what a device sends to the unit of a metric, worked out once by pint."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import pint

from catalogue.metrics import metrics


@cache
def _units() -> pint.UnitRegistry[Any]:
    units: pint.UnitRegistry[Any] = pint.UnitRegistry(cache_folder=None)
    # The catalogue's spellings that pint does not have.
    for definition in (
        "pct = 0.01",
        "state = 1",
        "m3 = m ** 3",
        "m2 = m ** 2",
        "var = W",
        "kvarh = kWh",
        "Gcal = 1163 kWh",
    ):
        units.define(definition)
    return units


@lru_cache(maxsize=4096)
def converter(metric: str, unit: str | None, scale: float = 1.0) -> Callable[[float], float]:
    """A function from a number in `unit` (None: the metric's own) to the metric's unit.

    Raises ValueError if the unit is unknown or does not fit.
    """
    target = metrics()[metric].unit
    if unit is None or unit == target:
        return (lambda value: value) if scale == 1 else (lambda value: value * scale)
    units = _units()
    try:
        # Two points tell a linear conversion with its offset (degrees Fahrenheit).
        zero = units.Quantity(0.0, unit).to(target).magnitude
        factor = units.Quantity(1.0, unit).to(target).magnitude - zero
    except Exception as error:  # pint raises errors of many bases, from undefined names to failed conversions
        raise ValueError(f"{unit!r} cannot become {target!r} of {metric}: {error}") from None
    return lambda value: value * scale * factor + zero
