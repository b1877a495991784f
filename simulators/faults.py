"""A fault at a point for a time, and what faults of a kind do to a series. The truth: the service never sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from simulators.calendar import HOUR_US
from simulators.chance import Floats, Ints
from simulators.curves import Curve, Warp, since_epoch_h


@dataclass(frozen=True, order=True)
class Fault:
    """One fault: `from_us` until before `to_us` (equal for a moment) at a point; `amount` in the unit of its kind.

    Faults that come together, such as a gateway's devices, share a `group`.
    """

    from_us: int
    to_us: int
    kind: str
    point: str
    amount: float = 0.0
    group: str = field(default="", compare=False)

    def lasts(self, times_us: Ints) -> npt.NDArray[np.bool_]:
        """At which of the moments it lasts."""
        return (times_us >= self.from_us) & (times_us < self.to_us)


class Faults:
    """The faults of one point, by kind."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._by_kind: dict[str, list[Fault]] = {}
        for fault in sorted(faults):
            self._by_kind.setdefault(fault.kind, []).append(fault)

    def of(self, *kinds: str) -> Sequence[Fault]:
        """Those of these kinds, by time."""
        if len(kinds) == 1:
            return self._by_kind.get(kinds[0], ())
        return sorted(fault for kind in kinds for fault in self._by_kind.get(kind, ()))

    def during(self, times_us: Ints, *kinds: str) -> Sequence[Fault]:
        """Those of these kinds that touch the moments."""
        if not self._by_kind or len(times_us) == 0:
            return ()
        first, last = int(times_us.min()), int(times_us.max())
        return [fault for fault in self.of(*kinds) if fault.from_us <= last and fault.to_us > first]


def constant(faults: Sequence[Fault], times_us: Ints, per_h: Sequence[float]) -> Floats:
    """What faults that each add a constant rate have added until each moment."""
    total = np.zeros(len(times_us))
    for fault, rate in zip(faults, per_h, strict=True):
        total += rate * np.clip((times_us - fault.from_us) / HOUR_US, 0, (fault.to_us - fault.from_us) / HOUR_US)
    return total


def exchanged(faults: Sequence[Fault], times_us: Ints, warp: Warp, instead: Curve, of: Curve, scale: float) -> Floats:
    """What reading one curve instead of another during faults has added until each moment."""
    total = np.zeros(len(times_us))
    for fault in faults:
        begun, _ = warp.shift(since_epoch_h(np.array([fault.from_us], np.int64)))
        shown, _ = warp.shift(since_epoch_h(np.clip(times_us, fault.from_us, fault.to_us)))
        total += scale * (instead.amount(shown) - of.amount(shown) - (instead.amount(begun) - of.amount(begun)))
    return total
