"""A rule as its file describes it."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from catalogue.faults import fault_kinds
from catalogue.inventory import Duration, Id
from catalogue.yamlfile import mistakes, near
from rules.calendars import Active
from rules.conditions import Node
from rules.conditions.absent import Absent
from rules.conditions.base import Fold, Strict
from rules.guarded import Guarded
from rules.judge import Judge
from rules.labelled import Reference, filled, number_of, references
from rules.ladder import Ladder
from rules.lifecycle import LIFECYCLE_KEYS, Lifecycle
from rules.scope import Scope

Severity = Literal["info", "warning", "critical"]

#: From the least severe.
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

#: Changes when states that an older version has kept can no longer be read; they are folded anew then.
_STATE_FORMAT = 3

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
        raise ValueError(f"there is no fault {kind!r}{near(kind, fault_kinds()) or '; see `misto simulate faults`'}")
    return kind


FaultId = Annotated[str, AfterValidator(_known_fault)]


class Texts(Strict):
    """A template in both languages."""

    en: Template
    uk: Template


class Moment(Strict):
    """A change of phase in a test's timeline: which phase begins when, and optionally by what."""

    pending: str | None = None
    firing: str | None = None
    recovering: str | None = None
    inactive: str | None = None
    value: float | None = None
    limit: float | None = None
    because: str | None = None

    @model_validator(mode="after")
    def _one_phase(self) -> Moment:
        if sum(at is not None for at in (self.pending, self.firing, self.recovering, self.inactive)) != 1:
            raise ValueError("needs exactly one of pending, firing, recovering, inactive")
        return self


class RuleTest(Strict):
    """A series of readings and what must come of it (docs/rules.md, "Tests").

    `readings` maps a metric to `value`, `value x count`, `_` (missing) or `value!` (suspect), separated by blanks, one
    each `step`, and `@late(value, at: 40m, received: 4h)`. `expect` lists the transitions in order, as offsets from
    `start`: [{fires: 30m, severity: warning}, {resolves: 4h}], and with late readings retracted, revised, reopened;
    `timeline`, if given, every change of phase as well: [{pending: 30m}, {firing: 60m, value: 86}, {inactive: 4h}].
    """

    name: str
    start: str = "2026-03-02T00:00:00+02:00"
    step: Duration = 1800.0
    interval: Duration = 1800.0
    readings: dict[str, str] = {}
    quiet_for: Duration | None = None
    expect: list[
        dict[Literal["fires", "raised", "lowered", "resolves", "retracted", "revised", "reopened", "severity"], str]
    ]
    timeline: list[Moment] | None = None

    @model_validator(mode="after")
    def _each_of_a_transition(self) -> RuleTest:
        if any(not item.keys() - {"severity"} for item in self.expect):
            raise ValueError("each item of expect needs a transition, such as fires: 30m")
        return self


class Level(Strict):
    """A severity, the condition that calls for it, and how long that must hold. Texts of its own go before those of
    the rule."""

    severity: Severity
    when: Node
    held_for: Annotated[Duration | None, Field(alias="for")] = None
    title: Texts | None = None
    sentence: Texts | None = None
    advice: Texts | None = None


class Rule(Lifecycle):
    """One rule. `source` says where its thresholds come from.

    `when` with `severity` and `for` is the short form of a single level. `detects` names the faults that it is for,
    `may_tell` those that it may rightly tell of too: by them `misto score` knows true alerts from false ones. Nothing
    that is decided depends on them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    title: Texts
    sentence: Texts
    advice: Texts
    source: str
    scope: Scope = Scope()
    severity: Severity = "warning"
    when: Node | None = None
    held_for: Annotated[Duration | None, Field(alias="for")] = None
    levels: Annotated[list[Level] | None, Field(min_length=2, max_length=3)] = None
    unless: Node | None = None
    active: Active | None = None
    confirm: Literal["reading", "clock"] = "reading"
    max_gap: Duration | None = None
    keep_firing_for: Duration | None = None
    detects: list[FaultId] = []
    may_tell: list[FaultId] = []
    tests: list[RuleTest] = []

    _written: Any = PrivateAttr(default=None)
    _references: tuple[Reference, ...] = PrivateAttr(default=())
    _at: dict[tuple[str | None, ...], tuple[Rule, str]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _with_defaults(cls, data: Any, handler: ModelWrapValidatorHandler[Rule]) -> Rule:
        found = references(data)
        rule = handler(filled(data, {one.place: one.default for one in found}) if found else data)
        rule._written, rule._references = (data, tuple(found)) if found else (None, ())
        return rule

    @property
    def labels_wanted(self) -> frozenset[str]:
        """Labels of a point that it takes numbers from."""
        return frozenset(one.label for one in self._references)

    def at(self, labels: Mapping[str, str]) -> tuple[Rule, str]:
        """The rule with the numbers that a point's labels give, and what is wrong with them, or nothing."""
        if not self._references:
            return self, ""
        key = tuple(labels.get(one.label) for one in self._references)
        if key not in self._at:
            self._at[key] = self._with_labels(labels)
        return self._at[key]

    def _with_labels(self, labels: Mapping[str, str]) -> tuple[Rule, str]:
        values, wrong = {}, []
        for one in self._references:
            text = labels.get(one.label)
            number = one.default if text is None else number_of(text)
            if number is None:
                wrong.append(f"its label {one.label} is {text!r}, which is no number: {one.default:g} holds")
            values[one.place] = one.default if number is None else number
        try:
            return type(self).model_validate(filled(self._written, values)), "; ".join(wrong)
        except ValidationError as error:
            place, told = mistakes(error, self._written)[0]
            where = ".".join(str(part) for part in place)
            return self, f"its labels do not fit the rule: {where}: {told}: the rule's defaults hold"

    @model_validator(mode="after")
    def _when_or_levels(self) -> Rule:
        if (self.when is None) == (self.levels is None):
            raise ValueError("needs either when, or levels with a when each")
        if self.levels is not None:
            if self.model_fields_set & {"severity", "held_for"}:
                raise ValueError("with levels, severity and for stand at each level")
            severities = [level.severity for level in self.levels]
            if len(set(severities)) < len(severities):
                raise ValueError("each of its levels needs a severity of its own")
            if any(level.when.absent is not None for level in self.levels):
                raise ValueError("an absent condition takes no levels: its own limit says how long")
        if self.unless is not None and self.unless.absent is not None:
            raise ValueError("unless takes no absent: it goes by the clock, the others by the readings' own time")
        return self

    @model_validator(mode="after")
    def _absent_alone(self) -> Rule:
        if self.absent is not None and (self.held_for or self.keep_firing_for or self.max_gap):
            raise ValueError(
                "an absent condition takes no for, max_gap or keep_firing_for: its own limit says how long"
            )
        if self.absent is not None and (self.unless or self.active):
            raise ValueError("an absent condition takes no unless and no active: silence is judged by the clock")
        return self

    @property
    def absent(self) -> Absent | None:
        """The condition on silence, which is judged by the clock of reception and stands alone."""
        return self.when.absent if self.when is not None else None

    @cached_property
    def steps(self) -> tuple[Level, ...]:
        """The levels from the least severe; the rule itself as one, where it has none."""
        if self.levels is not None:
            return tuple(sorted(self.levels, key=lambda level: SEVERITIES.index(level.severity)))
        assert self.when is not None
        return (Level.model_construct(severity=self.severity, when=self.when, held_for=self.held_for),)

    @cached_property
    def by_level(self) -> tuple[Rule, ...]:
        """Each level as a rule of its own, from the least severe; the rule itself, where it has none."""
        if self.levels is None:
            return (self,)
        its = {name: getattr(self, name) for name in type(self).model_fields} | {"levels": None}
        return tuple(
            type(self).model_construct(
                **its | {"severity": level.severity, "when": level.when, "held_for": level.held_for}
            )
            for level in self.steps
        )

    @cached_property
    def judge(self) -> Judge | Ladder:
        """What decides, reading by reading; not of absent conditions."""
        return self._judges[0] if len(self._judges) == 1 else Ladder(self._judges)

    @cached_property
    def _judges(self) -> tuple[Judge, ...]:
        return tuple(self._judge_of(level) for level in self.steps)

    def _judge_of(self, level: Level) -> Judge:
        # Without the tree around it where it is a single one.
        watched: Fold = level.when.single or level.when
        composed = level.when.single is None
        if self.unless is not None or self.active is not None:
            guard = self.unless and (self.unless.single or self.unless)
            hours = self.active.hours if self.active is not None else None
            closes = self.active is not None and self.active.outside == "resolve"
            watched, composed = Guarded(watched, guard, hours, closes), composed or guard is not None
        for_us = round((level.held_for or 0) * 1e6)
        return Judge(
            watched,
            composed,
            for_us,
            round((self.keep_firing_for or 0) * 1e6),
            self.confirm == "clock" and for_us > 0,
            None if self.max_gap is None else round(self.max_gap * 1e6),
        )

    @cached_property
    def metric_ids(self) -> frozenset[int]:
        """Metrics that it judges by; none of an absent condition."""
        return frozenset().union(*(judge.watched.metric_ids() for judge in self._judges))

    def memory_s(self, interval_s: float) -> float:
        """How far back readings may matter to what the rule decides now; at least two days."""
        return max(2 * 86400, self._looks_back_s + 24 * interval_s)

    @cached_property
    def _looks_back_s(self) -> float:
        held_s = max(level.held_for or 0 for level in self.steps) + (self.keep_firing_for or 0)
        return held_s + max(judge.watched.memory_s for judge in self._judges)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The rule without its tests, as it is kept with the alerts that it raised."""
        left_out = {"tests", "detects", "may_tell"} | ({"severity"} if self.levels is not None else set())
        return self.model_dump(mode="json", by_alias=True, exclude=left_out, exclude_none=True)

    @cached_property
    def hash(self) -> str:
        """Changes with whatever changes what the rule decides; texts do not."""
        told: dict[str, Any] = {
            "tests": True,
            **dict.fromkeys(_TOLD, True),
            "levels": {"__all__": {"title", "sentence", "advice"}},
        }
        judged = self.model_dump_json(by_alias=True, exclude=told, exclude_none=True)
        if self._references:
            judged += str([tuple(one) for one in self._references])
        return hashlib.sha256(f"{_STATE_FORMAT} {judged}".encode()).hexdigest()[:16]
