"""A rule as its file describes it."""

from __future__ import annotations

import hashlib
import string
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from catalogue.faults import fault_kinds
from catalogue.inventory import BuildingUse, Duration, Fraction, Id, PointKind
from rules.conditions import Node
from rules.conditions.base import Fold, Strict
from rules.lifecycle import LIFECYCLE_KEYS, Lifecycle

Severity = Literal["info", "warning", "critical"]

#: Changes when states that an older version has kept can no longer be read; they are folded anew then.
_STATE_FORMAT = 2

#: Parts that change nothing of what a rule decides.
_TOLD = ("title", "sentence", "advice", "source", "detects", "may_tell", *LIFECYCLE_KEYS)

#: What a title, sentence or advice may name in braces.
TEXT_FIELDS = frozenset({"point", "site", "address", "fraction", "value", "limit", "since", "hours", "contractor"})


def _known_fields(text: str) -> str:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise ValueError(f"its braces are wrong: {error}") from None
    unknown = sorted(names - TEXT_FIELDS)
    if unknown:
        raise ValueError(f"has no field {{{unknown[0]}}}; there are {', '.join(sorted(TEXT_FIELDS))}")
    return text


Template = Annotated[str, Field(min_length=1), AfterValidator(_known_fields)]


def _known_fault(kind: str) -> str:
    if kind not in fault_kinds():
        raise ValueError(f"there is no fault {kind!r}; see `misto simulate faults`")
    return kind


FaultId = Annotated[str, AfterValidator(_known_fault)]


class Texts(Strict):
    """A template in both languages."""

    en: Template
    uk: Template


class Scope(Strict):
    """Which points a rule watches; every given part must fit. `labels` are those of the point."""

    kind: list[PointKind] = []
    fraction: list[Fraction] = []
    use: list[BuildingUse] = []
    site: list[Id] = []
    zone: list[Id] = []
    contractor: list[Id] = []
    labels: dict[str, str] = {}


class RuleTest(Strict):
    """A series of readings and what must come of it (docs/rules.md, "Tests").

    `readings` maps a metric to `value`, `value x count`, `_` (missing) or `value!` (suspect), separated by blanks, one
    each `step`. `expect` lists the transitions in order: [{fires: 30m}, {resolves: 4h}], as offsets from `start`.
    """

    name: str
    start: str = "2026-03-02T00:00:00+02:00"
    step: Duration = 1800.0
    interval: Duration = 1800.0
    readings: dict[str, str] = {}
    quiet_for: Duration | None = None
    expect: list[dict[Literal["fires", "resolves"], str]]


class Rule(Lifecycle):
    """One rule. `source` says where its thresholds come from.

    `detects` names the faults that it is for, `may_tell` those that it may rightly tell of too: by them `misto score`
    knows true alerts from false ones. Nothing that is decided depends on them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    title: Texts
    sentence: Texts
    advice: Texts
    source: str
    scope: Scope = Scope()
    severity: Severity = "warning"
    when: Node
    held_for: Annotated[Duration | None, Field(alias="for")] = None
    confirm: Literal["reading", "clock"] = "reading"
    max_gap: Duration | None = None
    keep_firing_for: Duration | None = None
    detects: list[FaultId] = []
    may_tell: list[FaultId] = []
    tests: list[RuleTest] = []

    @model_validator(mode="after")
    def _absent_alone(self) -> Rule:
        if self.when.absent is not None and (self.held_for or self.keep_firing_for or self.max_gap):
            raise ValueError(
                "an absent condition takes no for, max_gap or keep_firing_for: its own limit says how long"
            )
        return self

    @cached_property
    def watched(self) -> Fold:
        """The condition to fold, without the tree around it where it is a single one."""
        return self.when.single or self.when

    @cached_property
    def composed(self) -> bool:
        """Of several conditions, whose metrics may come at different times."""
        return self.when.single is None

    @cached_property
    def for_us(self) -> int:
        return round((self.held_for or 0) * 1e6)

    @cached_property
    def keep_us(self) -> int:
        return round((self.keep_firing_for or 0) * 1e6)

    @cached_property
    def by_clock(self) -> bool:
        return self.confirm == "clock" and self.for_us > 0

    def max_gap_us(self, interval_s: float) -> int:
        """A longer gap between readings makes a pending alert begin anew, and an older part of a condition unknown."""
        return round((self.max_gap or 3 * interval_s) * 1e6)

    def memory_s(self, interval_s: float) -> float:
        """How far back readings may matter to what the rule decides now; at least two days."""
        held = (self.held_for or 0) + (self.keep_firing_for or 0)
        return max(2 * 86400, self.when.memory_s + held + 24 * interval_s)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The rule without its tests, as it is kept with the alerts that it raised."""
        return self.model_dump(mode="json", by_alias=True, exclude={"tests", "detects", "may_tell"}, exclude_none=True)

    @cached_property
    def hash(self) -> str:
        """Changes with whatever changes what the rule decides; texts do not."""
        judged = self.model_dump_json(by_alias=True, exclude={"tests", *_TOLD})
        return hashlib.sha256(f"{_STATE_FORMAT} {judged}".encode()).hexdigest()[:16]
