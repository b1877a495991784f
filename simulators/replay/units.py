"""From a column's unit to a metric's, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

from catalogue.metrics import metrics
from catalogue.units import linear


@dataclass(frozen=True)
class Conversion:
    """value in the metric's unit = recorded · `factor` + `zero`; if `per_second`, it is that much each second."""

    factor: float
    zero: float = 0.0
    per_second: bool = False


def conversion(metric: str, unit: str | None, scale: float, offset: float, *, accumulate: bool) -> Conversion:
    """How a recorded number becomes `metric`: (number · scale + offset) is in `unit`, that is then converted.

    With `accumulate` the unit may also be that of a rate (W for kWh, l/min for m3): it is summed over time.
    Raises ValueError if the units do not fit, with an example.
    """
    target = metrics()[metric].unit
    if unit is None or unit == target:
        return Conversion(scale, offset)
    try:
        factor, zero = linear(unit, target)
        return Conversion(scale * factor, offset * factor + zero)
    except ValueError as error:
        if accumulate:
            try:
                factor, _ = linear(f"({unit}) * second", target)
                return Conversion(scale * factor, offset * factor, per_second=True)
            except ValueError:  # the first error says more
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
