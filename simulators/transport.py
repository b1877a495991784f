"""From what a device measures to what reaches the broker, and when: losses, delays, copies, wrong clocks, garbage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulators.bins import signal_lost
from simulators.calendar import HOUR_US
from simulators.chance import Chance, Floats, Ints
from simulators.faults import Faults

#: A device sends a moment after it has measured.
_AIRTIME_US = 1_000_000


@dataclass(frozen=True)
class Deliveries:
    """Messages in order of their sending, as parallel arrays.

    `measured_us`: when it was measured; `time_us`: what the device's clock said; `sent_us`: when the broker gets it.
    `values` are in the same order. `garbage`: the payload is damaged on its way; `copy`: it was sent before.
    """

    measured_us: Ints
    time_us: Ints
    sent_us: Ints
    values: dict[str, Floats]
    garbage: npt.NDArray[np.bool_]
    copy: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sent_us)


def deliver(times_us: Ints, values: dict[str, Floats], interval_us: int, chance: Chance, faults: Faults) -> Deliveries:
    """What becomes of the messages measured at these moments."""
    count = len(times_us)
    keep = np.ones(count, np.bool_)
    if "rssi_dbm" in values:
        keep &= ~signal_lost(chance, times_us, values["rssi_dbm"])
    for fault in faults.during(times_us, "device-silent", "gateway-silent", "missing-hours"):
        keep &= ~fault.lasts(times_us)
    time_us = times_us
    for fault in faults.during(times_us, "clock-off"):
        time_us = np.where(fault.lasts(times_us), time_us + round(fault.amount * HOUR_US), time_us)
    sent_us = times_us + _AIRTIME_US
    garbage = np.zeros(count, np.bool_)
    copies = np.zeros(count, np.bool_)
    slots = times_us // 1_000_000
    for fault in faults.during(times_us, "late-lump"):
        # All at once, still one after the other.
        lump_us = fault.to_us + (times_us - fault.from_us) // interval_us * 50_000
        sent_us = np.where(fault.lasts(times_us), lump_us, sent_us)
    for fault in faults.during(times_us, "out-of-order"):
        delayed = fault.lasts(times_us) & (chance.uniform(slots, 41) < fault.amount)
        sent_us = np.where(delayed, sent_us + (3.5 * interval_us * chance.uniform(slots, 42)).astype(np.int64), sent_us)
    for fault in faults.during(times_us, "garbage"):
        garbage |= fault.lasts(times_us) & (chance.uniform(slots, 43) < fault.amount)
    for fault in faults.during(times_us, "duplicates"):
        copies |= fault.lasts(times_us) & (chance.uniform(slots, 44) < fault.amount)
    copies &= ~garbage
    index = np.arange(count)[keep]
    again = np.arange(count)[keep & copies]
    whole = np.concatenate([index, again])
    is_copy = np.concatenate([np.zeros(len(index), np.bool_), np.ones(len(again), np.bool_)])
    at_us = sent_us[whole] + np.where(is_copy, 1 + (interval_us * chance.uniform(slots[whole], 45)).astype(np.int64), 0)
    order = np.argsort(at_us, kind="stable")
    whole = whole[order]
    return Deliveries(
        times_us[whole],
        time_us[whole],
        at_us[order],
        {name: column[whole] for name, column in values.items()},
        garbage[whole],
        is_copy[order],
    )
