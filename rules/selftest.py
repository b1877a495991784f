"""A rule's own tests: a compact series through `step`, and the transitions and phases that must come of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from catalogue.inventory import parse_duration
from catalogue.metrics import metrics
from rules.judge import INACTIVE
from rules.model import Moment, Rule, RuleTest
from rules.step import Reading, Seen, Tick, Transition, initial, step

_TERM = re.compile(r"^(?P<value>_|-?\d+(?:\.\d+)?)(?P<slope>[+-]\d+(?:\.\d+)?)?(?P<suspect>!)?(?:x(?P<count>\d+))?$")
_TERMS = re.compile(r"@late\([^)]*\)?|\S+")
_LATE = re.compile(
    r"^@late\(\s*(?P<value>-?\d+(?:\.\d+)?)(?P<suspect>!)?\s*,\s*at:\s*(?P<at>\w+)\s*,\s*received:\s*(?P<received>\w+)\s*\)$"
)
_TICK_US = 60_000_000
_PHASES = ("pending", "firing", "recovering", "inactive")


class Sent(NamedTuple):
    """A reading of a test's series, by the microseconds since the test's start. `value` is None if it is suspect: it is
    received, and says nothing."""

    received_us: int
    time_us: int
    value: float | None


@dataclass(frozen=True)
class Happened:
    """A change of phase: which begins when, and the transition that was told of it, if one was."""

    phase: str
    time_us: int
    transition: Transition | None


@dataclass(frozen=True)
class Outcome:
    """What came of a test. `failures` are sentences; none if it came out as it says."""

    rule: Rule
    test: RuleTest
    start_us: int
    happened: Sequence[Happened]
    failures: Sequence[str]


def outcomes(rule: Rule) -> list[Outcome]:
    """What comes of each of the rule's tests."""
    return [_outcome(rule, test) for test in rule.tests]


def failures(rule: Rule) -> list[str]:
    """A sentence for each thing in the rule's tests that does not come out as it says."""
    return [f"{rule.id}: test {one.test.name!r}: {text}" for one in outcomes(rule) for text in one.failures]


def _outcome(rule: Rule, test: RuleTest) -> Outcome:
    start_us = 0
    try:
        start_us = round(datetime.fromisoformat(test.start).timestamp() * 1e6)
        expected = [
            (kind, start_us + _us(at)) for item in test.expect for kind, at in item.items() if kind != "severity"
        ]
        wanted = None if test.timeline is None else [_moment(item, start_us) for item in test.timeline]
        told, happened = _run(rule, test, start_us)
    except ValueError as error:
        return Outcome(rule, test, start_us, (), (str(error),))
    texts = []
    got = [(made.kind, made.event_us) for made in told]
    if got != expected:
        texts.append(f"expected {listed(expected, start_us)}, got {listed(got, start_us)}")
    else:
        for item, made in zip(test.expect, told, strict=True):
            severity = rule.steps[made.level].severity
            if item.get("severity", severity) != severity:
                texts.append(f"expected {item} of severity {item['severity']!r}, got {severity!r}")
    if wanted is not None:
        texts += _compared(wanted, happened, start_us)
    return Outcome(rule, test, start_us, happened, texts)


def _moment(item: Moment, start_us: int) -> tuple[str, int, Moment]:
    phase, at = next((name, at) for name in _PHASES if (at := getattr(item, name)) is not None)
    return phase, start_us + _us(at), item


def _compared(wanted: Sequence[tuple[str, int, Moment]], happened: Sequence[Happened], start_us: int) -> list[str]:
    """The whole timeline: what is not listed fails too."""
    expected = [(phase, at_us) for phase, at_us, _ in wanted]
    got = [(one.phase, one.time_us) for one in happened]
    if expected != got:
        return [f"expected the timeline {listed(expected, start_us)}, got {listed(got, start_us)}"]
    texts = []
    for (phase, at_us, item), one in zip(wanted, happened, strict=True):
        made = one.transition
        for name, its, was in (
            ("value", item.value, made.value if made else None),
            ("limit", item.limit, made.limit if made else None),
            ("reason", item.because, made.reason if made else None),
        ):
            if its is not None and its != was:
                texts.append(f"{listed([(phase, at_us)], start_us)}: expected {name} {its!r}, got {was!r}")
    return texts


def _us(duration: str) -> int:
    return 0 if duration == "0" else round(parse_duration(duration) * 1e6)


def listed(transitions: Sequence[tuple[str, int]], start_us: int) -> str:
    """Kinds or phases with their minutes since the start."""
    return ", ".join(f"{kind} at {(at - start_us) / 6e7:g}m" for kind, at in transitions) or "nothing"


def _run(rule: Rule, test: RuleTest, start_us: int) -> tuple[list[Transition], list[Happened]]:
    sent: list[tuple[Sent, int]] = []
    end_us = 0
    for name, series in test.readings.items():
        if name not in metrics():
            raise ValueError(f"there is no metric {name!r} in the catalogue")
        its, lasts_us = expand(series, round(test.step * 1e6))
        sent += [(one, metrics()[name].id) for one in its]
        end_us = max(end_us, lasts_us)
    sent.sort(key=lambda pair: (pair[0][:2], pair[1]))
    end_us += start_us + round((test.quiet_for or 0) * 1e6)
    state = initial(rule)
    phase = INACTIVE
    told: list[Transition] = []
    happened: list[Happened] = []

    def give(item: Reading | Tick | Seen, time_us: int) -> None:
        nonlocal state, phase
        state, made = step(rule, test.interval, state, item)
        told.extend(made)
        if state.core.phase != phase:
            phase = state.core.phase
            happened.append(Happened(phase, made[-1].event_us if made else time_us, made[-1] if made else None))

    now_us = start_us

    def pass_time(until_us: int) -> None:
        nonlocal now_us
        while now_us < until_us:
            give(Tick(now_us), now_us)
            now_us += _TICK_US

    wanted = rule.metric_ids
    for one, metric_id in sent:
        pass_time(start_us + one.received_us)
        if metric_id in wanted and one.value is not None:
            give(Reading(start_us + one.time_us, metric_id, one.value), start_us + one.time_us)
        give(Seen(start_us + one.received_us), start_us + one.received_us)
    pass_time(end_us)
    give(Tick(end_us), end_us)
    return told, happened


def expand(series: str, step_us: int) -> tuple[list[Sent], int]:
    """`80 86x3 _ 69! 10+0.5x4 @late(86, at: 40m, received: 4h)` → what is received, and when the series ends.

    Each value takes a step; `_` is missing, `69!` suspect, `10+0.5x4` is 10, 10.5, 11, 11.5: a counter. A late one
    takes no step: it was measured at one time since the start and is received at another.
    """
    sent: list[Sent] = []
    place = last_us = 0
    for term in _TERMS.findall(series):
        late, match = _LATE.match(term), _TERM.match(term)
        if late is not None:
            at_us, received_us = _us(late["at"]), _us(late["received"])
            if received_us < at_us:
                raise ValueError(f"{term!r} is received before it is measured")
            sent.append(Sent(received_us, at_us, None if late["suspect"] else float(late["value"])))
            last_us = max(last_us, received_us)
            continue
        if match is None:
            raise ValueError(
                f"{term!r} is no value, value x count, value+slope x count, _, value!, "
                "or @late(value, at: 40m, received: 4h)"
            )
        for index in range(int(match["count"] or 1)):
            at_us = place * step_us
            if match["value"] != "_":
                value = float(match["value"]) + index * float(match["slope"] or 0)
                sent.append(Sent(at_us, at_us, None if match["suspect"] else value))
            last_us = max(last_us, at_us)
            place += 1
    return sent, last_us
