"""From a column's unit to a metric's, worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pint

from catalogue.metrics import metrics


@dataclass(frozen=True)
class Conversion:
    """value in the metric's unit = recorded · `factor` + `zero`; if `per_second`, it is that much each second."""

    factor: float
    zero: float = 0.0
    per_second: bool = False


@cache
def _units() -> pint.UnitRegistry[Any]:
    units: pint.UnitRegistry[Any] = pint.UnitRegistry(cache_folder=None)
    # The spellings of the catalogue and of device profiles that pint does not have.
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


def conversion(metric: str, unit: str | None, scale: float, offset: float, *, accumulate: bool) -> Conversion:
    """How a recorded number becomes `metric`: (number · scale + offset) is in `unit`, that is then converted.

    With `accumulate` the unit may also be that of a rate (W for kWh, l/min for m3): it is summed over time.
    Raises ValueError if the units do not fit, with an example.
    """
    target = metrics()[metric].unit
    if unit is None or unit == target:
        return Conversion(scale, offset)
    try:
        factor, zero = _linear(unit, target)
        return Conversion(scale * factor, offset * factor + zero)
    except Exception as error:  # pint raises errors of many bases, from undefined names to failed conversions
        if accumulate:
            try:
                factor, _ = _linear(f"({unit}) * second", target)
                return Conversion(scale * factor, offset * factor, per_second=True)
            except Exception:  # the first error says more
                pass
        raise ValueError(
            f"{unit!r} cannot become {target!r} of {metric}: {error}; for example {_EXAMPLES.get(target, target)}"
        ) from None


#: Units that files hold in place of the metric's own.
_EXAMPLES = {
    "kWh": "MWh",
    "degC": "degF",
    "m3": "L",
    "m3/h": "L/min",
    "W": "kW",
    "mm": "cm",
    "m/s": "km/h",
    "bar": "kPa",
}


def _linear(unit: str, target: str) -> tuple[float, float]:
    # Two points tell a linear conversion with its offset (degrees Fahrenheit).
    units = _units()
    zero = float(units.Quantity(0.0, unit).to(target).magnitude)
    return float(units.Quantity(1.0, unit).to(target).magnitude) - zero, zero
