"""When a bin was emptied (DOMAIN W3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: A fall of at least so many percentage points …
DROP_PP = 25.0
#: … or to at most so much, falling by fewer: a bin emptied at 25 % was emptied as well.
EMPTY_PCT = 10.0
SMALL_DROP_PP = 15.0


@dataclass(frozen=True)
class Collection:
    """A bin emptied: time of the first reading after it, and the levels around it."""

    time_us: int
    fill_before_pct: float
    fill_after_pct: float


def collections(times_us: npt.NDArray[np.int64], fill_pct: npt.NDArray[np.float64]) -> list[Collection]:
    """Collections in good readings in order of time.

    A fall counts when the reading after it confirms it; the last reading's fall is therefore not told yet. A single
    low echo, with the level back at the next reading, is none.
    """
    found = []
    for index in range(1, len(fill_pct) - 1):
        before, here, confirming = fill_pct[index - 1], fill_pct[index], fill_pct[index + 1]
        fell = before - here >= DROP_PP or (here <= EMPTY_PCT and before - here >= SMALL_DROP_PP)
        stayed = before - confirming >= SMALL_DROP_PP
        if fell and stayed:
            found.append(Collection(int(times_us[index]), float(before), float(here)))
    return found
