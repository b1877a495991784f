"""Cells of a recorded file as text and as numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan

from simulators.replay.mapping import Condition, Value

_NO_VALUE = frozenset({"", "nan", "na", "n/a", "null", "none"})


def cell_text(cell: object) -> str:
    """A cell as text: whole numbers without a point, no blanks around."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def condition_cells(condition: Condition) -> frozenset[str]:
    wanted = condition.equals if condition.equals is not None else condition.not_equals
    return frozenset(cell_text(cell).casefold() for cell in (wanted if isinstance(wanted, list) else [wanted]))


def number_reader(value: Value, decimal: str) -> Callable[[object], float]:
    """A function from a cell to the metric's value (with `per_second`: to that each second). It raises ValueError."""
    conversion = value.conversion
    factor, zero = conversion.factor, conversion.zero
    low, high = value.between or (-float("inf"), float("inf"))

    def read(cell: object) -> float:
        if cell is None:
            raise ValueError("no value")
        if isinstance(cell, str):
            text = cell.strip()
            if text.casefold() in _NO_VALUE:
                raise ValueError("no value")
            if decimal == ",":
                text = text.replace(",", ".", 1)
            cell = nan if "_" in text else text
        try:
            number = float(cell)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError("is no number") from None
        if number != number:
            raise ValueError("no value")
        if not isfinite(number):
            raise ValueError("is no finite number")
        if not low <= number <= high:
            raise ValueError(f"is not between {low:g} and {high:g}")
        result = number * factor + zero
        if value.accumulate and result < 0:
            raise ValueError("is negative, and a register does not fall")
        return result

    return read
