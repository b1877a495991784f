"""The tree of conditions: exactly one kind a node; all, any, not, at_least by Kleene's three-valued logic.

The kinds are found: each module of this folder that defines a `Condition` is one, under the module's name.
"""

from __future__ import annotations

import sys
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from pydantic import Field, create_model, model_validator

from rules.conditions.absent import Absent
from rules.conditions.base import Condition, State, Strict, Truth


def _found() -> dict[str, type[Condition]]:
    kinds = {}
    for info in iter_modules(sys.modules["rules.conditions"].__path__):
        if info.name in ("base", "limits", "tree"):
            continue
        module = import_module(f"rules.conditions.{info.name}")
        for its in vars(module).values():
            if isinstance(its, type) and issubclass(its, Condition) and its.__module__ == module.__name__:
                kinds[info.name] = its
    return kinds


#: The kinds that fold readings, by name.
KINDS = _found()


class AtLeast(Strict):
    """At least `n` of several conditions."""

    n: int = Field(ge=1)
    of: list[Node] = Field(min_length=2)

    @model_validator(mode="after")
    def _possible(self) -> AtLeast:
        if self.n > len(self.of):
            raise ValueError(f"n {self.n} must not be more than the {len(self.of)} conditions of `of`")
        return self


class _Tree(Strict):
    absent: Absent | None = None
    all: list[Node] | None = Field(default=None, min_length=2)
    any: list[Node] | None = Field(default=None, min_length=2)
    at_least: AtLeast | None = None
    negated: Node | None = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _exactly_one(self) -> _Tree:
        fields = type(self).model_fields
        given = [name for name in fields if getattr(self, name) is not None]
        if len(given) != 1:
            kinds = [*KINDS, *(field.alias or name for name, field in fields.items() if name not in KINDS)]
            raise ValueError(f"needs exactly one of {', '.join(kinds)}; it has {', '.join(given) or 'none'}")
        if any(child.absent is not None for child in self.parts):
            raise ValueError("absent stands alone: it goes by the clock, the others by the readings' own time")
        return self

    @cached_property
    def single(self) -> Condition | None:
        """The condition, where this node is one by itself."""
        for kind in KINDS:
            condition: Condition | None = getattr(self, kind)
            if condition is not None:
                return condition
        return None

    @cached_property
    def parts(self) -> list[Node]:
        """The nodes that this one combines."""
        of = self.at_least.of if self.at_least else None
        return self.all or self.any or of or ([self.negated] if self.negated else [])

    @cached_property
    def _watching(self) -> frozenset[int]:
        if self.single is not None:
            return self.single.metric_ids()
        return frozenset().union(*(child.metric_ids() for child in self.parts))

    @cached_property
    def memory_s(self) -> float:
        """See `Fold`."""
        if self.single is not None:
            return self.single.memory_s
        return max((child.memory_s for child in self.parts), default=0.0)

    def metric_ids(self) -> frozenset[int]:
        return self._watching

    # of a tree: (state, time of the last reading) of each child
    def initial(self) -> State:
        if self.single is not None:
            return self.single.initial()
        return tuple((child.initial(), 0) for child in self.parts)

    @cached_property
    def _by_metric(self) -> dict[int, tuple[tuple[int, Node | Condition], ...]]:
        """Places of the children that fold a metric."""
        return {
            metric: tuple(
                (place, child.single or child) for place, child in enumerate(self.parts) if metric in child.metric_ids()
            )
            for metric in self._watching
        }

    @cached_property
    def _bare(self) -> tuple[Node | Condition, ...]:
        """The children, each without the tree around it where it is a single one."""
        return tuple(child.single or child for child in self.parts)

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
        # `all` is false by one that is false; of the others `needed` have to hold.
        decisive = self.all is None and self.negated is None
        needed = self.at_least.n if self.at_least is not None else 1
        held = unknown = heard = 0
        for child, (its, last_us) in zip(self._bare, state, strict=True):
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
                held += 1
                if held >= needed:
                    return decisive
            unknown += truth is None
        return None if held + unknown >= needed or not heard else not decisive

    def shown(self, state: State) -> tuple[float | None, float | None]:
        if self.single is not None:
            return self.single.shown(state)
        heard = [(last_us, child, its) for child, (its, last_us) in zip(self.parts, state, strict=True) if last_us]
        holds = [item for item in heard if item[1].truth(item[2]) or item[1].truth(item[2], firing=True)]
        if not heard:
            return None, None
        _, child, its = max(holds or heard[:1], key=lambda item: item[0])
        return child.shown(its)


if TYPE_CHECKING:

    class Node(_Tree):
        """One condition, or several combined. `absent` stands alone at the top of a rule."""

else:
    Node = create_model(
        "Node",
        __base__=_Tree,
        __module__=__name__,
        __doc__="One condition, or several combined. `absent` stands alone at the top of a rule.",
        **{kind: (condition | None, None) for kind, condition in KINDS.items()},
    )
    AtLeast.model_rebuild()
    Node.model_rebuild(force=True)
