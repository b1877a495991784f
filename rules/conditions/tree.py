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

    @cached_property
    def memory_s(self) -> float:
        """See `Fold`."""
        if self.single is not None:
            return self.single.memory_s
        return max((child.memory_s for child in self._children), default=0.0)

    def metric_ids(self) -> frozenset[int]:
        return self._watching

    # of a tree: (state, time of the last reading) of each child
    def initial(self) -> State:
        if self.single is not None:
            return self.single.initial()
        return tuple((child.initial(), 0) for child in self._children)

    @cached_property
    def _by_metric(self) -> dict[int, tuple[tuple[int, Node | Condition], ...]]:
        """Places of the children that fold a metric."""
        return {
            metric: tuple(
                (place, child.single or child)
                for place, child in enumerate(self._children)
                if metric in child.metric_ids()
            )
            for metric in self._watching
        }

    @cached_property
    def _parts(self) -> tuple[Node | Condition, ...]:
        """The children, each without the tree around it where it is a single one."""
        return tuple(child.single or child for child in self._children)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        if self.single is not None:
            return self.single.fold(state, time_us, metric_id, value)
        folded = list(state)
        for place, child in self._by_metric[metric_id]:
            folded[place] = (child.fold(state[place][0], time_us, metric_id, value), time_us)
        return tuple(folded)

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        if self.single is not None:
            return self.single.truth(state, firing)
        decisive = self.any is not None
        unknown = False
        heard = 0
        for child, (its, last_us) in zip(self._parts, state, strict=True):
            if last_us == 0 and decisive:
                # A metric that this device has never sent is none that it has: it makes nothing unknown.
                continue
            truth = child.truth(its, firing, fresh_us) if last_us else None
            if last_us < fresh_us:
                if decisive and truth is False:
                    # Nor does one that it sends no more, unless it was this one that held.
                    continue
                truth = None
            heard += 1
            if self.negated is not None:
                return None if truth is None else not truth
            if truth is decisive:
                return decisive
            unknown = unknown or truth is None
        return None if unknown or not heard else not decisive

    def shown(self, state: State) -> tuple[float | None, float | None]:
        if self.single is not None:
            return self.single.shown(state)
        heard = [(last_us, child, its) for child, (its, last_us) in zip(self._children, state, strict=True) if last_us]
        holds = [item for item in heard if item[1].truth(item[2]) or item[1].truth(item[2], firing=True)]
        if not heard:
            return None, None
        _, child, its = max(holds or heard[:1], key=lambda item: item[0])
        return child.shown(its)
