"""From what a device sends to the unit of a metric, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from catalogue.metrics import metrics
from catalogue.units import linear


@lru_cache(maxsize=4096)
def converter(metric: str, unit: str | None, scale: float = 1.0) -> Callable[[float], float]:
    """A function from a number in `unit` (None: the metric's own) to the metric's unit.

    Raises ValueError if the unit is unknown or does not fit.
    """
    target = metrics()[metric].unit
    if unit is None or unit == target:
        return same if scale == 1 else (lambda value: value * scale)
    try:
        factor, zero = linear(unit, target)
    except ValueError as error:
        raise ValueError(f"{unit!r} cannot become {target!r} of {metric}: {error}") from None
    return lambda value: value * scale * factor + zero


def same(value: float) -> float:
    """What `converter` gives where there is nothing to convert."""
    return value
