"""flag: a status is one of some codes, or has one of some bits set.

For metrics of kind state: `{metric: lid_open, in: [1]}`, or `{metric: alarm_bits, bits: [0, 3]}` for the first and the
fourth bit of an alarm word. Unknown until the first good reading; in a tree also when the last one is older than the
rule's `max_gap`. The state holds one value.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator

from catalogue.metrics import metrics
from rules.conditions.base import Condition, State


class Flag(Condition):
    """Either `in` (codes) or `bits` (numbers of bits, from 0, of which any may be set)."""

    codes: Annotated[list[int] | None, Field(alias="in", min_length=1)] = None
    bits: Annotated[list[Annotated[int, Field(ge=0, le=31)]] | None, Field(min_length=1)] = None

    @model_validator(mode="after")
    def _sound(self) -> Flag:
        if (self.codes is None) == (self.bits is None):
            raise ValueError("needs either in or bits")
        if metrics()[self.metric].kind != "state":
            states = ", ".join(name for name, metric in metrics().items() if metric.kind == "state")
            raise ValueError(f"needs a state, and {self.metric} is none; there are {states}")
        low, high = metrics()[self.metric].range
        beyond = [code for code in self.codes or [2**bit for bit in self.bits or []] if not low <= code <= high]
        if beyond:
            raise ValueError(f"{self.metric} is never {beyond[0]}: its values are from {low:g} to {high:g}")
        return self

    @cached_property
    def _mask(self) -> int:
        return sum(1 << bit for bit in set(self.bits or []))

    # truth, value
    def initial(self) -> State:
        return (None, None)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        if self.codes is not None:
            return (value in self.codes, value)
        return (int(value) & self._mask != 0, value)

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return state[1], None
