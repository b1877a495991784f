"""threshold: a value above or below a limit, with hysteresis.

True while the value is beyond the limit. Once the alert fires it stays true until the value is back beyond the clear
limit; before that, a single high reading is not held. Unknown until the first good reading; in a tree also when the
last one is older than the rule's `max_gap`.
"""

from __future__ import annotations

from rules.conditions.base import State
from rules.conditions.limits import Limited


class Threshold(Limited):
    """Either `above` (with `clear_below`) or `below` (with `clear_above`), in the metric's unit."""

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        sign, limit, clear = self.signed
        signed = sign * value
        if signed > limit:
            return (True, True, value)
        return (False, state[1] is True and signed > clear, value)
