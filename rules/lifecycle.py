"""The keys of a rule that say what becomes of an alert once it fires. Nothing that is decided depends on them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from catalogue.inventory import Duration, Id
from rules.conditions.base import Strict

#: What two alerts can have in common.
Common = Literal["point", "site", "zone", "kind", "contractor"]


class Flap(Strict):
    """More than `transitions` `within` a time is flapping; it lasts until nothing has changed for `hold` (`within`)."""

    transitions: int = Field(ge=2, le=1000)
    within: Duration
    hold: Duration | None = None

    @property
    def hold_s(self) -> float:
        """How long it must be quiet, in seconds."""
        return self.hold or self.within


class Escalation(Strict):
    """Who else is told, how long after the alert was released to be told."""

    after: Duration
    unless: Literal["acknowledged"] | None = None
    to: str = Field(min_length=1, max_length=120)


class Inhibitor(Strict):
    """An alert of `rule` hides this rule's where both have the same `equal`."""

    rule: Id
    equal: list[Common] = Field(default=["point"], min_length=1)


class Lifecycle(Strict):
    """How a rule's alerts are told; `reopen_within`: true again so soon after its end, the same alert goes on."""

    flap: Flap | None = None
    reopen_within: Duration | None = None
    repeat: Duration | None = None
    escalate: list[Escalation] = []
    inhibited_by: list[Inhibitor] = []

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        after = [step.after for step in self.escalate]
        if after != sorted(after):
            raise ValueError("the steps of escalate must be in order of after")
        if self.repeat is not None and self.repeat < 60:
            raise ValueError("repeat must be at least 1m")
        own = getattr(self, "id", None)
        if any(one.rule == own for one in self.inhibited_by):
            raise ValueError("a rule cannot be inhibited by itself")
        return self


LIFECYCLE_KEYS = tuple(Lifecycle.model_fields)
