"""Levels, guards and hours: severity moves inside one alert, and unknown is not false."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from catalogue.yamlfile import parse_yaml
from rules.loader import load_documents
from rules.model import Rule
from rules.refold import Open, refold
from rules.step import KeyState, Reading, Tick, Transition, initial, step

MINUTE_US = 60_000_000
FILL, TILTED, TEMPERATURE = 30, 32, 40
# An hour before midnight, Sunday to Monday.
T0 = round(datetime.fromisoformat("2026-03-01T23:00+02:00").timestamp() * 1e6)

HEAD = """\
version: 1
rules:
  - id: one
    title: {en: T, uk: Т}
    sentence: {en: S, uk: Р}
    advice: {en: A, uk: П}
    source: here
"""
LEVELS = (
    "    levels:\n"
    "      - {severity: warning, when: {threshold: {metric: fill_level_pct, above: 50, clear_below: 40}}, for: 30m}\n"
    "      - {severity: critical, when: {threshold: {metric: fill_level_pct, above: 80, clear_below: 70}}, for: 10m}\n"
)
CROSSED = (
    "    levels:\n"
    "      - {severity: critical, when: {threshold: {metric: temperature_c, above: 50}}, for: 30m}\n"
    "      - {severity: info, when: {threshold: {metric: fill_level_pct, above: 20}}}\n"
    "      - {severity: warning, when: {threshold: {metric: fill_level_pct, above: 50}}, for: 20m}\n"
)
THRESHOLD = "    when: {threshold: {metric: fill_level_pct, above: 50, clear_below: 40}}\n"
UNLESS = "    unless: {threshold: {metric: tilted, above: 50}}\n"
NIGHTS = '    active: {windows: [{days: mon-sun, from: "23:30", to: "03:30"}], outside: %s}\n'


def rule(text: str) -> Rule:
    (only,) = load_documents([parse_yaml(HEAD + text, "test.yaml")])
    return only


def fold(one: Rule, items: list[Any], state: KeyState | None = None) -> tuple[KeyState, list[Transition]]:
    state = state or initial(one)
    told: list[Transition] = []
    for item in items:
        state, made = step(one, 1800, state, item)
        told.extend(made)
    return state, told


def fills(*values: float, start_us: int = T0, every_min: int = 10) -> list[Reading]:
    return [Reading(start_us + place * every_min * MINUTE_US, FILL, value) for place, value in enumerate(values)]


def brief(told: list[Transition], start_us: int = T0) -> list[tuple[str, int, int]]:
    """(kind, minute, level)"""
    return [(made.kind, (made.event_us - start_us) // MINUTE_US, made.level) for made in told]


def test_the_severity_moves_inside_one_alert() -> None:
    one = rule(LEVELS)
    assert [level.severity for level in one.steps] == ["warning", "critical"]
    _, told = fold(one, fills(60, 60, 60, 60, 90, 90, 75, 65, 60, 85, 85, 30))
    assert brief(told) == [
        ("fires", 30, 0), ("raised", 50, 1), ("lowered", 70, 0), ("raised", 100, 1), ("resolves", 110, 1),
    ]  # fmt: skip
    assert {made.breached_us for made in told} == {T0}
    assert [(made.value, made.limit) for made in told][:3] == [(60, 50), (90, 80), (65, 50)]


def test_beneath_an_open_level_the_lower_ones_need_no_time() -> None:
    _, told = fold(rule(LEVELS), fills(90, 90, 60, 60, 60, 30))
    assert brief(told) == [("fires", 10, 1), ("lowered", 20, 0), ("resolves", 50, 0)]


def test_late_data_corrects_the_severity() -> None:
    one = rule(LEVELS)
    in_order = fills(60, 60, 60, 60, 90, 60, 90, 60)
    late = in_order[5]
    state, told = fold(one, [reading for reading in in_order if reading is not late])
    assert brief(told) == [("fires", 30, 0), ("raised", 60, 1), ("lowered", 70, 0)]
    _, more = fold(one, [late], state)
    assert more == [], "an alert that was critical for a while and no longer is"
    state, told = fold(one, [reading for reading in in_order[:7] if reading is not late])
    assert brief(told)[-1] == ("raised", 60, 1)
    _, more = fold(one, [late], state)
    assert [(made.kind, made.level) for made in more] == [("lowered", 0)]


def test_levels_of_an_open_alert_go_on_with_a_changed_rule() -> None:
    one = rule(LEVELS)
    opened = Open(T0 - 5, T0 - 5, 0)
    high, low = fills(60, 60, 60, 60, 90, 90), fills(60, 60, 60, 60)
    for imported in (False, True):
        state, told = refold(one, 1800, high, opened, imported=imported)
        assert [(made.kind, made.breached_us, made.level) for made in told] == [
            ("raised" if imported else "kept", opened.breached_us, 1)
        ]
        assert [made.kind for made in fold(one, fills(10, start_us=T0 + 99 * MINUTE_US), state)[1]] == ["resolves"]
    assert refold(one, 1800, low, opened, imported=True)[1] == ()
    assert brief(list(refold(one, 1800, low, Open(T0, T0, 1), imported=True)[1])) == [("lowered", 30, 0)]
    assert brief(list(refold(one, 1800, high, None)[1])) == [("fires", 30, 0), ("raised", 50, 1)]


def test_a_guard_neither_starts_nor_clears() -> None:
    one = rule(THRESHOLD + UNLESS + "    for: 20m\n    max_gap: 2h\n")
    tipped, upright = Reading(T0 + 1, TILTED, 90), Reading(T0 + 65 * MINUTE_US, TILTED, 0)
    state, told = fold(one, sorted([tipped, *fills(60, 60, 60, 60, 60, 60)]))
    assert told == []
    state, told = fold(one, [upright], state)
    assert told == [], "the guard's own reading confirms nothing"
    state, told = fold(one, fills(60, 60, 60, start_us=T0 + 70 * MINUTE_US), state)
    assert brief(told) == [("fires", 70, 0)], "the guard hid readings, as if none had come"
    state, told = fold(one, [Reading(T0 + 95 * MINUTE_US, TILTED, 90), *fills(0, start_us=T0 + 100 * MINUTE_US)], state)
    assert told == [], "nor does it end"
    _, told = fold(one, fills(0, start_us=T0 + 300 * MINUTE_US), state)
    assert brief(told) == [("resolves", 300, 0)], "a guard that is not heard any more guards nothing"


def test_a_guard_that_was_never_heard_guards_nothing() -> None:
    _, told = fold(rule(THRESHOLD + UNLESS), fills(60))
    assert brief(told) == [("fires", 0, 0)]


def test_outside_its_hours_a_rule_holds_or_resolves() -> None:
    # From 23:00; the hours are 23:30 to 03:30.
    quiet = fills(*[60] * 3, *[30] * 3, every_min=10)
    assert fold(rule(THRESHOLD + NIGHTS % "hold"), quiet[:3])[1] == []
    night = fills(30, 60, every_min=60)
    morning = fills(60, 30, start_us=T0 + 280 * MINUTE_US)
    _, told = fold(rule(THRESHOLD + NIGHTS % "hold"), [*night, *morning])
    assert brief(told) == [("fires", 60, 0)], "what is open stays open, whatever is measured"
    one = rule(THRESHOLD + NIGHTS % "resolve")
    _, told = fold(one, [*night, *morning])
    assert brief(told) == [("fires", 60, 0), ("resolves", 270, 0)]
    assert told[-1].reason == "outside its hours"
    assert brief(fold(one, [*night, Tick(T0 + 999 * MINUTE_US)])[1]) == [("fires", 60, 0), ("resolves", 270, 0)]


def test_the_clock_does_not_fire_outside_the_hours() -> None:
    one = rule(THRESHOLD + NIGHTS % "hold" + "    for: 20m\n    confirm: clock\n")
    late = fills(60, start_us=T0 + 265 * MINUTE_US)
    assert fold(one, [*late, Tick(T0 + 999 * MINUTE_US)])[1] == []
    early = fills(60, start_us=T0 + 200 * MINUTE_US)
    assert brief(fold(one, [*early, Tick(T0 + 999 * MINUTE_US)])[1]) == [("fires", 220, 0)]


def test_what_is_hidden_does_not_count_as_held() -> None:
    one = rule(THRESHOLD + NIGHTS % "hold" + "    for: 20m\n    max_gap: 1h\n")
    all_day = fills(*[60] * 48, start_us=T0 + 265 * MINUTE_US, every_min=30)
    # The last window ends at 270 and the next begins at 1470 minutes.
    assert brief(fold(one, all_day)[1]) == [("fires", 1495 + 30, 0)]


def test_an_alert_that_follows_another_has_a_breach_of_its_own() -> None:
    hot = [Reading(T0 + minute * MINUTE_US, TEMPERATURE, 60) for minute in (0, 10, 20, 30)]
    cool = [Reading(T0 + 25 * MINUTE_US, FILL, 10)]
    _, told = fold(rule(CROSSED), sorted([Reading(T0, FILL, 30), *cool, *hot]))
    assert [(*one, made.breached_us - T0) for one, made in zip(brief(told), told, strict=True)] == [
        ("fires", 0, 0, 0), ("resolves", 25, 0, 0), ("fires", 30, 2, 25 * MINUTE_US),
    ]  # fmt: skip


def test_the_clock_does_not_decide_in_the_past_what_a_guard_held_back_then() -> None:
    its = rule(
        "    when: {threshold: {metric: temperature_c, above: 50}}\n"
        "    unless: {threshold: {metric: tilted, above: 50}}\n"
        "    for: 30m\n    confirm: clock\n    max_gap: 3h\n"
    )
    state, made = initial(its), list[Transition]()
    for minute, metric, value in ((0, 40, 55.0), (10, 32, 55.0), (110, 32, 5.0)):
        state, told = step(its, 1800, state, Reading(minute * 60_000_000 + 1, metric, value))
        made += told
    assert made == []
    state, (fired,) = step(its, 1800, state, Tick(111 * 60_000_000))
    assert (fired.kind, fired.event_us, fired.breached_us) == ("fires", 110 * 60_000_000 + 1, 1)
