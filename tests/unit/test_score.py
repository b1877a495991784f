"""Scoring: alerts against truth, by hand; and a whole small city through the rules."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from misto.score.matching import TAIL_US, Alert, Score, score
from misto.score.offline import episodes, judge_city
from misto.score.people import people_of
from misto.score.report import as_json, markdown, show
from rules.loader import shipped_rules
from rules.model import Rule
from rules.step import Transition
from simulators.calendar import DAY_US, HOUR_US
from simulators.scenario import Scenario
from simulators.truth import Truth
from tests.cities import bins, building, inventory

START = round(datetime(2026, 1, 19, tzinfo=ZoneInfo("Europe/Kyiv")).timestamp() * 1e6)
END = START + 30 * DAY_US


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    return shipped_rules()


def at(hours: float) -> int:
    return START + round(hours * HOUR_US)


def truth(
    kind: str, point: str, from_h: float, to_h: float, noticeable_h: float | None = -1, amount: float = 0
) -> Truth:
    noticeable = from_h if noticeable_h == -1 else noticeable_h
    return Truth(kind, (point,), "s", at(from_h), at(to_h), None if noticeable is None else at(noticeable), amount)


def alert(rule: str, point: str, fired_h: float, resolved_h: float | None) -> Alert:
    return Alert(rule, point, at(fired_h - 0.5), at(fired_h), None if resolved_h is None else at(resolved_h))


def scored(rules: list[Rule], alerts: list[Alert], truths: list[Truth], watched: dict[str, list[str]]) -> Score:
    people = {"bin-1": "contractor a", "bin-2": "contractor a", "m-1": "facility manager"}
    return score(rules, watched, alerts, truths, people, {"contractor a": 1, "facility manager": 2}, START, END)


def test_true_false_and_missed_are_told_apart(rules: list[Rule]) -> None:
    watched = {"bin-fire": ["bin-1", "bin-2"], "device-silent": ["bin-1", "bin-2", "m-1"]}
    truths = [
        truth("bin-fire", "bin-1", 10, 12),  # found after half an hour
        truth("bin-fire", "bin-2", 10, 12),  # missed
        truth("bin-fire", "bin-3", 10, 12),  # nobody watches it
        truth("bin-fire", "bin-1", 50, 51, None),  # nobody could notice it
        truth("device-silent", "m-1", 100, 110, 103),
    ]
    alerts = [
        alert("bin-fire", "bin-1", 10.5, 13),
        alert("bin-fire", "bin-2", 300, 301),  # false
        alert("device-silent", "m-1", 107, 111),
        alert("device-silent", "bin-1", 11, 12),  # a fire is no silence: false
    ]
    its = scored(rules, alerts, truths, watched)
    by_rule = {rule.rule: rule for rule in its.rules}
    fire, silent = by_rule["bin-fire"], by_rule["device-silent"]
    assert (fire.true, fire.false, fire.found.faults, fire.found.found) == (1, 1, 2, 1)
    assert (fire.precision, fire.found.recall, fire.found.delay_median_h) == (0.5, 0.5, 0.5)
    assert (silent.true, silent.false, silent.found.recall, silent.found.delay_median_h) == (1, 1, 1.0, 4.0)
    assert silent.false_per_point_month == pytest.approx(1 / 3 / 30 * 365.25 / 12)
    faults = {fault.kind: fault for fault in its.faults}
    assert (faults["bin-fire"].all, faults["bin-fire"].noticeable, faults["bin-fire"].found.faults) == (4, 3, 2)
    assert its.messages_per_day == {"contractor a": 3 / 30, "facility manager": 1 / 2 / 30}


def test_an_alert_may_come_a_day_late_and_not_later(rules: list[Rule]) -> None:
    watched = {"water-night-flow": ["m-1"]}
    truths = [truth("slow-leak", "m-1", 0, 48)]
    late = Alert("water-night-flow", "m-1", at(40), at(48) + TAIL_US, None)
    (its,) = [rule for rule in scored(rules, [late], truths, watched).rules if rule.rule == "water-night-flow"]
    assert (its.true, its.false, its.found.found) == (1, 0, 1)
    later = Alert("water-night-flow", "m-1", at(40), at(48) + TAIL_US + 1, None)
    (its,) = [rule for rule in scored(rules, [later], truths, watched).rules if rule.rule == "water-night-flow"]
    assert (its.true, its.false, its.found.found) == (0, 1, 0)


def test_a_rule_may_tell_of_what_it_is_not_for(rules: list[Rule]) -> None:
    watched = {"water-night-flow": ["m-1"], "register-fell": ["m-1"]}
    truths = [truth("burst-pipe", "m-1", 0, 48), truth("clock-off", "m-1", 100, 120, amount=-4)]
    alerts = [alert("water-night-flow", "m-1", 30, 40), alert("register-fell", "m-1", 97, 98)]
    its = {rule.rule: rule for rule in scored(rules, alerts, truths, watched).rules}
    assert (its["water-night-flow"].true, its["water-night-flow"].found.faults) == (1, 0)
    # A clock that is behind puts what it causes hours before its fault.
    assert (its["register-fell"].true, its["register-fell"].false) == (1, 0)


def test_a_gateway_s_fault_counts_at_each_of_its_devices(rules: list[Rule]) -> None:
    watched = {"device-silent": ["bin-1", "bin-2", "m-1"]}
    gateway = Truth("gateway-silent", ("bin-1", "bin-2"), "", at(10), at(20), at(10), gateway="gateway-centre")
    its = scored(rules, [alert("device-silent", "bin-1", 12, 21)], [gateway], watched)
    (silent,) = [rule for rule in its.rules if rule.rule == "device-silent"]
    assert (silent.found.faults, silent.found.found) == (2, 1)


def test_what_late_data_took_back_is_no_alert() -> None:
    def made(kind: str, breached: int, event: int) -> Transition:
        return Transition(kind, breached, event, "", None, None)

    told = [
        made("fires", 1, 5), made("resolves", 1, 9), made("fires", 20, 25), made("retracted", 20, 25),
        made("fires", 30, 35), made("revised", 30, 33), made("resolves", 30, 40), made("reopened", 30, 40),
    ]  # fmt: skip
    assert episodes("r", "p", told) == [Alert("r", "p", 1, 5, 9), Alert("r", "p", 30, 33, None)]


def test_a_small_city_is_judged_and_told(rules: list[Rule]) -> None:
    school = building(electricity={}, heat={}, water={})
    town = inventory(school, bins(2))
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "faults": [
                {"kind": "slow-leak", "at": ["2026-02-03T12:00:00+02:00"], "lasts": "8d", "amount": 200},
                {"kind": "bin-fire", "at": ["2026-02-01T12:00:00+02:00"], "lasts": "2h", "where": {"point": ["bin-0"]}},
                {"kind": "device-silent", "at": ["2026-02-05T12:00:00+02:00"], "lasts": "9h", "where": {"kind": ["heat"]}},
                {"kind": "out-of-order", "at": ["2026-01-20T00:00:00+02:00"], "lasts": "20d", "where": {"kind": ["bin"]}},
            ],
        }
    )  # fmt: skip
    judged = judge_city(town, scenario, 1, rules, START, END, processes=2)
    who, persons = people_of(town)
    its = score(rules, judged.watched, judged.alerts, judged.truths, who, persons, START, END)
    by_rule = {rule.rule: rule for rule in its.rules}
    for rule, points in (("water-night-flow", 1), ("bin-fire", 2), ("device-silent", 5)):
        assert by_rule[rule].points == points
        assert by_rule[rule].found.faults == by_rule[rule].found.found == 1, rule
        assert by_rule[rule].false == 0
    assert 30 < (by_rule["water-night-flow"].found.delay_median_h or 0) < 60
    console = Console(record=True, width=200, file=None, quiet=True)
    show(its, "a town", console)
    plain = as_json(its)
    assert {rule["rule"] for rule in plain["rules"]} == {rule.id for rule in rules}
    assert "| slow-leak | 1 | 1 | 1 | 1 | 1.000 |" in markdown(its)
    # The same in one process as in two, and again.
    assert judge_city(town, scenario, 1, rules, START, END, processes=1) == judged
