"""A rule's own tests: a compact series through `step`, and the transitions that must come of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from catalogue.inventory import parse_duration
from catalogue.metrics import metrics
from rules.model import Rule, RuleTest
from rules.step import Reading, Seen, Tick, Transition, initial, step

_TERM = re.compile(r"^(?P<value>_|-?\d+(?:\.\d+)?)(?P<slope>[+-]\d+(?:\.\d+)?)?(?P<suspect>!)?(?:x(?P<count>\d+))?$")
_TICK_US = 60_000_000


def failures(rule: Rule) -> list[str]:
    """A sentence for each of the rule's tests that does not come out as it says."""
    told = []
    for test in rule.tests:
        start_us = round(datetime.fromisoformat(test.start).timestamp() * 1e6)
        try:
            expected = [(kind, start_us + _us(at)) for item in test.expect for kind, at in item.items()]
            got = [(made.kind, made.event_us) for made in _run(rule, test, start_us)]
        except ValueError as error:
            told.append(f"{rule.id}: test {test.name!r}: {error}")
            continue
        if got != expected:
            told.append(
                f"{rule.id}: test {test.name!r}: expected {_list(expected, start_us)}, got {_list(got, start_us)}"
            )
    return told


def _us(duration: str) -> int:
    return 0 if duration == "0" else round(parse_duration(duration) * 1e6)


def _list(transitions: Sequence[tuple[str, int]], start_us: int) -> str:
    return ", ".join(f"{kind} at {(at - start_us) / 6e7:g}m" for kind, at in transitions) or "nothing"


def _run(rule: Rule, test: RuleTest, start_us: int) -> list[Transition]:
    readings = []
    step_us = round(test.step * 1e6)
    for name, series in test.readings.items():
        if name not in metrics():
            raise ValueError(f"there is no metric {name!r} in the catalogue")
        metric = metrics()[name].id
        readings += [
            Reading(start_us + index * step_us, metric, value)
            for index, value in enumerate(expand(series))
            if value is not None
        ]
    readings.sort()
    end_us = (readings[-1].time_us if readings else start_us) + round((test.quiet_for or 0) * 1e6)
    state = initial(rule)
    told: list[Transition] = []

    def give(item: Reading | Tick | Seen) -> None:
        nonlocal state
        state, made = step(rule, test.interval, state, item)
        told.extend(made)

    now_us = start_us
    for reading in [*readings, Reading(end_us, 0, 0.0)]:
        while now_us < reading.time_us:
            give(Tick(now_us))
            now_us += _TICK_US
        if reading.metric_id in rule.metric_ids:
            give(reading)
        if reading.metric_id:
            give(Seen(reading.time_us))
    give(Tick(end_us))
    return told


def expand(series: str) -> list[float | None]:
    """`80 86x3 _ 69! 10+0.5x4` → a value (or None for missing and suspect) for each step.

    `10+0.5x4` is 10, 10.5, 11, 11.5: a counter.
    """
    values: list[float | None] = []
    for term in series.split():
        match = _TERM.match(term)
        if match is None:
            raise ValueError(f"{term!r} is no value, value x count, value+slope x count, _ or value!")
        for index in range(int(match["count"] or 1)):
            if match["value"] == "_" or match["suspect"]:
                values.append(None)
            else:
                values.append(float(match["value"]) + index * float(match["slope"] or 0))
    return values
