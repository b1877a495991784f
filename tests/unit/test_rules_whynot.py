"""Why an alert did not fire: each check, with its figures, in both languages."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalogue.metrics import Quality
from rules import reason as reasons
from rules.loader import shipped_rules
from rules.model import Rule
from rules.reason import Reason
from rules.sentences import rule_text
from rules.stored import rule_of
from rules.whynot import Known, Stored, Verdict, why_not
from rules.words import scope_text
from store.alerts import PointInfo
from tests.unit.test_rules import rule

KYIV = ZoneInfo("Europe/Kyiv")
T0 = 1_772_402_400_000_000  # 2026-03-02T00:00+02:00
MINUTE = 60_000_000
FILL, TEMPERATURE, ENERGY = 30, 40, 1

BIN = PointInfo(
    1, "bin-0", "bin", 1800, "paper", {}, "Bin", "Контейнер", "stand", "Stand", "Майданчик", None, None, None,
    "centre", "clean", "Clean", "Чисте",
)  # fmt: skip
SHIPPED = {each.id: each for each in shipped_rules()}
FULL = SHIPPED["bin-nearly-full"]


def known(series: str, metric: int = FILL, quality: Quality = Quality.GOOD, step: int = 30, **more: Any) -> Known:
    """A value every `step` minutes from T0 on; `_` is missing, `!` behind it suspect."""
    stored = []
    for index, term in enumerate(series.split()):
        if term != "_":
            its = Quality.SUSPECT if term.endswith("!") else quality
            stored.append(Stored(T0 + index * step * MINUTE, metric, float(term.rstrip("!")), int(its)))
    at_us = more.pop("at_us", stored[-1].time_us if stored else T0)
    newest = {one.metric_id: one for one in stored if one.time_us <= at_us}
    oldest = {one.metric_id: min(other.time_us for other in stored) for one in stored}
    return Known(**({"stored": stored, "newest": newest, "oldest": oldest, "sends": sorted(newest)} | more))


def ask(one: Rule, its: Known, minutes: float, point: PointInfo = BIN) -> Verdict:
    return why_not(one, point, T0 + round(minutes * MINUTE), its)


def said(verdict: Verdict, language: reasons.Language = "en") -> str:
    return verdict.reason.text(language, KYIV)


def test_out_of_scope_names_the_part() -> None:
    verdict = ask(SHIPPED["glass-not-collected"], known("90 90"), 60)
    assert verdict.check == "scope"
    assert said(verdict) == "the rule does not watch this point: its fraction is paper, the rule is for glass"
    other = ask(SHIPPED["heat-return-hot"], known("90 90"), 60)
    assert "kind of point is bin, the rule is for heat" in said(other)
    labelled = rule("    scope: {labels: {lid: steel}}\n    when: {threshold: {metric: fill_level_pct, above: 1}}\n")
    assert "its label lid is –, the rule is for steel" in said(ask(labelled, known("90"), 30))


def test_a_metric_that_the_point_does_not_send() -> None:
    verdict = ask(FULL, known("20 21", TEMPERATURE), 60)
    assert (verdict.check, verdict.reason.code) == ("readings", "no_metric")
    assert said(verdict) == "this point has never sent fill level; it sends temperature"
    assert ask(FULL, Known(), 60).reason.code == "nothing"
    late = known("90 90")
    assert ask(FULL, replace(late, newest={}), -60).reason.code == "late_start"


def test_readings_that_are_not_good_are_not_judged() -> None:
    verdict = ask(FULL, known("40 " + "90! " * 16), 8 * 60)
    assert (verdict.check, verdict.reason.facts["count"]) == ("quality", 16)
    assert "suspect" in said(verdict)
    assert "90 % at 2026-03-02 08:00" in said(verdict)
    assert ask(FULL, known("40 90! 91"), 60).check == "time", "a good reading after them counts"


def test_silence_of_the_device_and_of_misto_itself() -> None:
    its = known("70 75")
    verdict = ask(FULL, its, 10 * 60)
    assert (verdict.check, verdict.reason.code) == ("age", "stale")
    assert "after 2026-03-02 00:30; the last one was 75 %" in said(verdict)
    down = replace(its, outages=[(T0 + 40 * MINUTE, T0 + 500 * MINUTE)])
    deaf = ask(FULL, down, 10 * 60)
    assert deaf.reason.code == "outage"
    assert "from 2026-03-02 00:40 to 2026-03-02 08:20" in said(deaf)


def test_the_limit_and_how_far_it_was() -> None:
    verdict = ask(FULL, known("70 79 74"), 60)
    assert verdict.check == "condition"
    assert said(verdict) == "the limit was not reached: fill level was 74 %, 6 % short of the limit of 80 %"
    assert verdict.nearest is not None
    assert verdict.nearest.text("en", KYIV).startswith("the nearest came at 2026-03-02 00:30: fill level was 79 %")
    assert said(verdict, "uk") == "межі не досягнуто: заповненість: 74 %, до межі 80 % бракувало 6 %"
    exact = ask(FULL, known("80"), 0)
    assert "exactly the limit" in said(exact)


def test_an_alert_that_is_over_is_told() -> None:
    verdict = ask(FULL, known("50 70 82 84 86 5 6 7"), 210)
    assert verdict.check == "condition"
    assert verdict.nearest is not None
    assert verdict.nearest.text("en", KYIV) == "by the readings it fired from 2026-03-02 01:30 to 2026-03-02 02:30"
    long_ago = ask(FULL, known("50 70 82 84 86 5 " + "6 " * 60), 32 * 60)
    assert long_ago.nearest is None or long_ago.nearest.code == "nearest"
    before = ask(FULL, known("50 70 82 84 86 5 6 7"), 60 - 30)
    assert before.nearest is None or before.nearest.code == "nearest", "what came later is not told"


def test_not_held_long_enough_since_when_until_when() -> None:
    # Asked while it held: it is told how it went on.
    held = ask(SHIPPED["bin-not-collected"], known("70 85 90 95 100 4 5", step=120), 7 * 60)
    assert (held.check, held.reason.code) == ("time", "not_held")
    text = said(held)
    assert "from 2026-03-02 02:00 until 2026-03-02 10:00, 6 h of 15 h" in text
    assert "fill level was 4 %" in text
    # Asked afterwards: the limit is far again, and the near miss is told.
    after = ask(SHIPPED["bin-not-collected"], known("70 85 90 95 100 4 5", step=120), 12 * 60)
    assert after.check == "condition"
    assert after.nearest is not None
    assert after.nearest.code == "not_held"


def test_still_pending_says_when_it_can_fire() -> None:
    one = SHIPPED["bin-not-collected"]
    pending = ask(one, known("70 85 90", step=120), 4 * 60)
    assert pending.reason.code == "pending"
    assert "so it can fire from 2026-03-02 17:00 on" in said(pending)
    later = ask(one, known("70 " + "85 " * 9, step=120), 4 * 60)
    assert (later.reason.code, "2026-03-02 18:00" in said(later)) == ("pending_later", True)
    alone = ask(FULL, known("70 85"), 90)
    assert alone.reason.code == "waits", "one reading only, though its time is over"


def test_a_gap_begins_the_time_anew() -> None:
    verdict = ask(FULL, known("85 _ _ _ _ _ _ _ _ _ _ _ _ _ 86"), 7 * 60)
    assert verdict.reason.code == "gap"
    assert "between 2026-03-02 00:00 and 2026-03-02 07:00, longer than 6 h" in said(verdict)


def test_unknown_says_why() -> None:
    jump = rule("    when: {jump: {metric: fill_level_pct, down_by: 40, within: 1h}}\n    max_gap: 1d\n")
    alone = ask(jump, known("90 _ _ _ 4"), 120)
    assert (alone.check, alone.reason.code) == ("condition", "unknown_why")
    assert "only one good reading within 1 h" in said(alone)
    stuck = rule("    when: {stuck: {metric: fill_level_pct, over: 24h, min_points: 6}}\n")
    few = ask(stuck, known("50 50 50"), 60)
    assert "3 readings without change since 2026-03-02 00:00, 6 are needed" in said(few)
    short = ask(stuck, known("50 " * 8), 210)
    assert "has stood at 50 % for 3 h 30 min since 2026-03-02 00:00; it takes 1 day" in said(short)
    night = rule('    when: {night: {metric: energy_kwh, window: "00:00-05:00", above: 2, ratio_above: 2}}\n')
    learns = ask(night, known(" ".join(str(n) for n in range(50)), ENERGY, step=60), 49 * 60)
    assert "2 whole nights so far; 3 are needed before" in said(learns)
    low = rule('    when: {night: {metric: energy_kwh, window: "00:00-05:00", above: 2}}\n')
    quiet = ask(low, known(" ".join(str(n) for n in range(60)), ENERGY, step=60), 59 * 60)
    assert "1 kW, the limit was 2 kW" in said(quiet)


def test_a_tree_blames_the_part_that_failed() -> None:
    both = rule(
        "    when: {all: [{threshold: {metric: fill_level_pct, above: 80}},"
        " {threshold: {metric: temperature_c, above: 50}}]}\n"
    )
    full, cool = known("90 90"), known("20 20", TEMPERATURE)
    its = replace(full, stored=sorted([*full.stored, *cool.stored]), newest={**full.newest, **cool.newest})
    verdict = ask(both, its, 30)
    assert verdict.reason.code == "parts"
    assert "temperature was 20 °C, 30 °C short" in said(verdict)
    assert verdict.tree is not None
    assert [(leaf.truth, leaf.kind) for leaf in verdict.tree.leaves()] == [(True, "threshold"), (False, "threshold")]
    unknown = ask(both, full, 30)
    assert unknown.reason.code == "unknown_why"
    assert "no good reading of: temperature" in said(unknown)
    either = rule(
        "    when: {any: [{threshold: {metric: fill_level_pct, above: 100}},"
        " {threshold: {metric: fill_level_pct, below: 20}}]}\n"
    )
    assert "below" not in said(ask(either, known("90"), 0))
    assert "10 % short of the limit of 100 %" in said(ask(either, known("90"), 0)), "the nearest of an any"


def test_what_fires_and_what_should_have() -> None:
    its = known("85 86 87")
    cause = Reason("cause_no_worker")
    missing = ask(FULL, replace(its, causes=[cause]), 60)
    assert (missing.fires, missing.check, missing.reason.code) == (False, "alert", "not_told")
    assert "should have fired at 2026-03-02 00:30 (it held from 2026-03-02 00:00 on)" in said(missing)
    assert said(missing).endswith("no rules process is alive")
    assert ask(FULL, replace(its, written=True), 60).fires


def test_a_rule_by_the_clock_fires_without_a_second_reading() -> None:
    tipped = SHIPPED["bin-tipped"]
    assert ask(tipped, known("0 1", 32, written=True), 60).fires
    assert ask(tipped, known("0 1", 32), 40).reason.code == "pending"


@pytest.mark.parametrize(
    ("heard_min", "at_min", "more", "code"),
    [
        (0, 60, {}, "heard"),
        (0, 300, {"outages": [(T0 + 10 * MINUTE, T0 + 280 * MINUTE)]}, "deaf"),
        (0, 300, {"alive_us": T0}, "blind"),
        (0, 300, {"causes": [Reason("cause_no_worker")]}, "not_told"),
        (0, 300, {"written": True}, "silent"),
    ],
)
def test_silence(heard_min: int, at_min: int, more: dict[str, Any], code: str) -> None:
    verdict = ask(SHIPPED["device-silent"], known("50", heard_us=T0 + heard_min * MINUTE, **more), at_min)
    assert verdict.reason.code == code
    assert verdict.reason.text("uk", KYIV) != verdict.reason.text("en", KYIV)
    assert ask(SHIPPED["device-silent"], Known(), 60).reason.code == "never_heard"


def test_every_reason_has_the_same_fields_in_both_languages() -> None:
    for code in reasons.codes():
        en, uk = (
            {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in reasons._SENTENCES[code]
        )
        assert en == uk, code


def test_a_verdict_is_plain_json() -> None:
    verdict = ask(FULL, known("70 79 74"), 60)
    assert json.loads(json.dumps(verdict.as_json()))["reason"]["why"]["short"] == {"value": 6, "unit": "pct"}


def test_every_shipped_rule_is_read_back_from_what_is_kept_and_told_in_words() -> None:
    for one in SHIPPED.values():
        again = rule_of(json.loads(json.dumps(one.definition)))
        assert (again.hash, again.when, again.held_for, again.scope) == (one.hash, one.when, one.held_for, one.scope)
        for language in ("en", "uk"):
            assert rule_text(one, language).endswith(".")
            assert scope_text(one.scope, language)


LEVELS = """    levels:
      - {severity: warning, when: {threshold: {metric: fill_level_pct, above: 80, clear_below: 65}}, for: 30m}
      - {severity: critical, when: {threshold: {metric: fill_level_pct, above: 95}}, for: 2h}
"""


def test_of_several_levels_the_one_that_came_furthest_is_told() -> None:
    its = rule(LEVELS)
    assert said(ask(its, known("60 70"), 30)) == (
        "warning: the limit was not reached: fill level was 70 %, 10 % short of the limit of 80 %"
    )
    verdict = ask(its, known("60 97"), 30)
    assert (verdict.check, verdict.reason.code) == ("time", "of_level")
    assert said(verdict).startswith("warning: it held since 2026-03-02 00:30")
    assert said(verdict, "uk").startswith("увага: умова виконувалася від 2026-03-02 00:30")
    assert verdict.tree is not None
    assert verdict.tree.truth is True
    told = ask(its, known("97 97 97", written=True), 60)
    assert told.fires
    assert rule_text(its, "en") == (
        "Warning: fill level above 80 % (cleared below 65 %), for 30 min; critical: fill level above 95 %, for 2 h."
    )


def test_a_guard_that_holds_and_hours_that_are_over_are_told() -> None:
    guarded = rule(
        "    when: {threshold: {metric: fill_level_pct, above: 80}}\n"
        "    unless: {threshold: {metric: temperature_c, above: 50}}\n"
    )
    both = known("60 90")
    hot = Stored(T0, TEMPERATURE, 60.0, int(Quality.GOOD))
    its = replace(both, stored=sorted([hot, *both.stored]), newest={**both.newest, TEMPERATURE: hot})
    verdict = ask(guarded, its, 30)
    assert (verdict.check, said(verdict)) == (
        "condition",
        "the condition was unknown, and what is unknown raises nothing: "
        "held back, for temperature 60 °C, beyond the limit of 50 °C",
    )
    assert ask(guarded, both, 30).reason.code == "not_told"
    assert "; not while temperature above 50 °C." in rule_text(guarded, "en")

    by_day = rule(
        "    when: {threshold: {metric: fill_level_pct, above: 80}}\n"
        '    active: {windows: [{days: mon-fri, from: "06:00", to: "22:00"}], except: [holidays]}\n'
    )
    verdict = ask(by_day, both, 30)
    assert said(verdict).endswith("2026-03-02 00:30 lies outside its hours")
    assert rule_text(by_day, "en").endswith("; only Mon–Fri 06:00–22:00, except public holidays.")
    assert rule_text(by_day, "uk").endswith("; лише пн–пт 06:00–22:00, крім: державні свята.")


def test_numbers_come_from_the_labels_of_the_point() -> None:
    its = rule("    when: {threshold: {metric: fill_level_pct, above: {label: full_at, default: 80}}}\n")
    assert "limit of 80 %" in said(ask(its, known("60"), 0))
    assert "limit of 90 %" in said(ask(its, known("60"), 0, replace(BIN, labels={"full_at": "90"})))


@pytest.mark.parametrize(
    "text",
    [
        LEVELS,
        "    when: {threshold: {metric: fill_level_pct, above: 80}}\n    unless: {flag: {metric: lid_open, in: [1]}}\n"
        "    scope: {kind: bin, fraction: {not: [glass]}, labels: {lid: '*'}}\n"
        '    active: {windows: [{days: "mon-fri", from: "06:00", to: "24:00"}, {from: "22:00", to: "02:00"}],'
        " except: [holidays, school-holidays], outside: resolve}\n",
        '    when: {night: {metric: water_m3, window: "02:00-05:00", above: 1, same_daytype: true, ratio_above: 2}}\n',
        "    when: {at_least: {n: 2, of: [{threshold: {metric: fill_level_pct, above: 80}},"
        " {rate: {metric: fill_level_pct, over: 2h, above: 3}},"
        " {stuck: {metric: water_m3, over: 2h, while: {metric: power_w, above: 3}}}]}}\n",
    ],
)
def test_what_is_kept_of_a_rule_is_the_same_rule(text: str) -> None:
    its = rule(text)
    again = rule_of(json.loads(json.dumps(its.definition)))
    assert (again.hash, rule_text(again, "en")) == (its.hash, rule_text(its, "en"))
