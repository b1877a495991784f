"""A limit above or below, and the clear limit on its safe side: what all numeric kinds share."""

from __future__ import annotations

from functools import cached_property

from pydantic import model_validator

from rules.conditions.base import Condition, State, Truth


class Limited(Condition):
    """Either `above` (with `clear_below`) or `below` (with `clear_above`)."""

    above: float | None = None
    clear_below: float | None = None
    below: float | None = None
    clear_above: float | None = None

    @model_validator(mode="after")
    def _one_direction(self) -> Limited:
        if (self.above is None) == (self.below is None):
            raise ValueError("needs either above or below")
        if self.above is not None:
            if self.clear_above is not None:
                raise ValueError("goes with clear_below, not clear_above, for it is raised above")
            if self.clear_below is not None and self.clear_below > self.above:
                raise ValueError(f"clear_below {self.clear_below:g} must not be higher than above {self.above:g}")
        if self.below is not None:
            if self.clear_below is not None:
                raise ValueError("goes with clear_above, not clear_below, for it is raised below")
            if self.clear_above is not None and self.clear_above < self.below:
                raise ValueError(f"clear_above {self.clear_above:g} must not be lower than below {self.below:g}")
        return self

    @cached_property
    def signed(self) -> tuple[float, float, float]:
        """(sign, limit, clear limit) so that `sign * value > limit` is the breach."""
        if self.above is not None:
            clear = self.above if self.clear_below is None else self.clear_below
            return 1.0, self.above, clear
        assert self.below is not None
        clear = self.below if self.clear_above is None else self.clear_above
        return -1.0, -self.below, -clear

    @property
    def limit(self) -> float | None:
        """The limit, of whichever direction."""
        return self.above if self.above is not None else self.below

    # beyond the limit, not yet cleared since, value; kinds add their own behind
    def initial(self) -> State:
        return (None, None, None)

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        held: Truth = state[1] if firing else state[0]
        return held

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return state[2], self.limit
