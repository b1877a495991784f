"""The tree of conditions: exactly one kind a node; all, any, not by Kleene's three-valued logic."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field, model_validator

from rules.conditions.absent import Absent
from rules.conditions.base import State, Strict, Truth
from rules.conditions.jump import Jump
from rules.conditions.night import Night
from rules.conditions.stuck import Stuck
from rules.conditions.threshold import Threshold

Condition = Threshold | Jump | Stuck | Night


class Node(Strict):
    """One condition, or several combined. `absent` stands alone at the top of a rule."""

    threshold: Threshold | None = None
    jump: Jump | None = None
    stuck: Stuck | None = None
    night: Night | None = None
    absent: Absent | None = None
    all: list[Node] | None = Field(default=None, min_length=2)
    any: list[Node] | None = Field(default=None, min_length=2)
    negated: Node | None = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _exactly_one(self) -> Node:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            names = "threshold, jump, stuck, night, absent, all, any, not"
            raise ValueError(f"needs exactly one of {names}; it has {', '.join(given) or 'none'}")
        if any(child.absent is not None for child in self._children):
            raise ValueError("absent stands alone: it goes by the clock, the others by the readings' own time")
        return self

    @cached_property
    def single(self) -> Condition | None:
        """The condition, where this node is one by itself."""
        return self.threshold or self.jump or self.stuck or self.night

    @cached_property
    def _children(self) -> list[Node]:
        return self.all or self.any or ([self.negated] if self.negated else [])

    @cached_property
    def _watching(self) -> frozenset[int]:
        if self.single is not None:
            return self.single.metric_ids()
        return frozenset().union(*(child.metric_ids() for child in self._children))

    def metric_ids(self) -> frozenset[int]:
        return self._watching

    def initial(self) -> State:
        if self.single is not None:
            return self.single.initial()
        return tuple(child.initial() for child in self._children)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        if self.single is not None:
            return self.single.fold(state, time_us, metric_id, value)
        return tuple(
            child.fold(its, time_us, metric_id, value) if metric_id in child.metric_ids() else its
            for child, its in zip(self._children, state, strict=True)
        )

    def truth(self, state: State, firing: bool = False) -> Truth:
        if self.single is not None:
            return self.single.truth(state, firing)
        pairs = list(zip(self._children, state, strict=True))
        if self.any is not None:
            # A metric that this device has never sent is none that it has: it makes nothing unknown.
            pairs = [(child, its) for child, its in pairs if its != child.initial()]
        truths = [child.truth(its, firing) for child, its in pairs]
        if self.negated is not None:
            return None if truths[0] is None else not truths[0]
        decisive = self.any is not None
        if decisive in truths:
            return decisive
        return None if None in truths or not truths else not decisive

    def shown(self, state: State) -> tuple[float | None, float | None]:
        if self.single is not None:
            return self.single.shown(state)
        pairs = [(child, its) for child, its in zip(self._children, state, strict=True) if its != child.initial()]
        for child, its in pairs:
            if child.truth(its) or child.truth(its, firing=True):
                return child.shown(its)
        return pairs[0][0].shown(pairs[0][1]) if pairs else (None, None)
