"""Numbers as devices write them."""

from __future__ import annotations

from math import isfinite


def number(value: object) -> float:
    """A finite number from a JSON value: also `"12.5"`, `"00746.379"`, `"12,5"`, `"45%"`, true and false.

    Raises ValueError with what is wrong.
    """
    if type(value) is float and isfinite(value):
        return value
    if isinstance(value, str):
        text = value.strip().removesuffix("%").rstrip().replace(",", ".", 1)
        try:
            result = float(text)
        except ValueError:
            raise ValueError(f"{value[:60]!r} is no number") from None
        # Python reads 1_000 as a number; no meter writes it.
        if "_" in text:
            raise ValueError(f"{value[:60]!r} is no number")
    elif isinstance(value, int | float):
        try:
            result = float(value)
        except OverflowError:
            raise ValueError("is larger than any number of a meter") from None
    else:
        raise ValueError(f"{type(value).__name__} is no number")
    if not isfinite(result):
        raise ValueError(f"{value!r} is no finite number")
    return result


def finite(value: float) -> float:
    """The value after a conversion. Raises ValueError where that made it infinite."""
    if not isfinite(value):
        raise ValueError("is larger than any number of a meter")
    return value
