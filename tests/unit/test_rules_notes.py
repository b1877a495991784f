"""Numbers from labels, scopes, and what is noted of rules in a city."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from catalogue.inventory import Inventory, read_inventory
from catalogue.yamlfile import parse_yaml
from misto.cli import app
from misto.history import demo_city_file
from rules.engine import Engine, in_scope
from rules.loader import load_documents, read_rules, rules_in_force, shipped_rules
from rules.model import Rule
from rules.notes import notes, points_of
from tests.cities import bins, building, inventory

HEAD = """\
version: 1
rules:
  - id: one
    title: {en: T, uk: Т}
    sentence: {en: S, uk: Р}
    advice: {en: A, uk: П}
    source: here
"""
BY_LABEL = "    when: {threshold: {metric: power_w, above: {label: limit_w, default: 900}, clear_below: 800}}\n"


def rule(text: str) -> Rule:
    (only,) = load_documents([parse_yaml(HEAD + text, "test.yaml")])
    return only


def city() -> Inventory:
    stand = bins(3)
    stand["points"][0]["labels"] = {"lid": "open"}
    stand["points"][1]["labels"] = {"lid": "broken"}
    del stand["points"][2]["contractor"]
    school = building("school", electricity={"labels": {"limit_w": "5000,5"}}, water={})
    school["labels"] = {"limit_w": "7000"}
    return inventory(stand, school)


@pytest.mark.parametrize(
    ("scope", "codes"),
    [
        ("{}", "bin-0 bin-1 bin-2 school-electricity school-water"),
        ("{kind: bin}", "bin-0 bin-1 bin-2"),
        ("{kind: [water, electricity]}", "school-electricity school-water"),
        ("{kind: {not: [bin, water]}}", "school-electricity"),
        ("{fraction: {not: paper}}", "school-electricity school-water"),
        ('{contractor: "*"}', "bin-0 bin-1"),
        ('{kind: bin, contractor: {not: "*"}}', "bin-2"),
        ("{labels: {lid: open}}", "bin-0"),
        ('{labels: {lid: "*"}}', "bin-0 bin-1"),
        ("{kind: bin, labels: {lid: {not: open}}}", "bin-1 bin-2"),
        ("{labels: {lid: [open, broken]}, site: stand, zone: centre}", "bin-0 bin-1"),
        ('{use: school, labels: {limit_w: "7000"}}', "school-water"),
        ("{site: {not: [stand, school]}}", ""),
    ],
)
def test_which_points_a_scope_fits(scope: str, codes: str) -> None:
    one = rule(f"    when: {{absent: {{misses: 3}}}}\n    scope: {scope}\n")
    assert " ".join(point.code for point in points_of(city()) if in_scope(one.scope, point)) == codes


def test_a_point_goes_by_its_label() -> None:
    one = rule(BY_LABEL)
    limits = {}
    for labels in ({}, {"limit_w": "5000,5"}, {"limit_w": "1e9"}, {"limit_w": "much"}, {"limit_w": "500"}):
        its, wrong = one.at(labels)
        assert its.when is not None
        assert its.when.threshold is not None
        limits[str(labels)] = (its.when.threshold.above, wrong)
    assert limits == {
        "{}": (900, ""),
        "{'limit_w': '5000,5'}": (5000.5, ""),
        "{'limit_w': '1e9'}": (1e9, ""),
        "{'limit_w': 'much'}": (900, "its label limit_w is 'much', which is no number: 900 holds"),
        "{'limit_w': '500'}": (
            900,
            "its labels do not fit the rule: when.threshold: clear_below 800 must not be higher than above 500:"
            " the rule's defaults hold",
        ),
    }
    assert one.at({"limit_w": "1000"})[0] is one.at({"limit_w": "1000", "lid": "open"})[0]
    assert one.at({"limit_w": "1000"})[0].hash != one.hash


def test_a_wrong_label_stops_no_other_point() -> None:
    wrong = building("wrong", electricity={"labels": {"limit_w": "much"}})
    points = points_of(inventory(wrong, building("right", electricity={"labels": {"limit_w": "77000"}})))
    engine = Engine([rule(BY_LABEL + "    scope: {kind: electricity}\n")])
    engine.set_points([replace(point, point_id=number) for number, point in enumerate(points)], {})
    limits = [machine.rule.definition["when"]["threshold"]["above"] for machine in engine.machines.values()]
    assert limits == [900, 77000]
    assert engine.take_wrong_labels() == [
        "rule one at the point wrong-electricity: its label limit_w is 'much', which is no number: 900 holds"
    ]
    assert engine.take_wrong_labels() == []


def test_what_is_noted_of_a_city() -> None:
    points = points_of(city())
    texts = [
        BY_LABEL + "    scope: {kind: bin, site: stnd, labels: {lid: opn}}\n",
        BY_LABEL.replace("limit_w", "limt_w") + "    scope: {labels: {lit: open}, kind: {not: bin}}\n",
        BY_LABEL.replace("limit_w", "limt_w") + "    scope: {contractor: cleen}\n    severity: info\n",
        BY_LABEL.replace("limit_w", "limt_w") + "    scope: {zone: centre}\n",
    ]
    assert [notes([rule(text)], points) for text in texts] == [
        [
            "rule one: no point has the site 'stnd'; did you mean stand?",
            "rule one: no point has 'opn' as its label lid; did you mean open?",
            "rule one: its scope fits none of the 5 points",
        ],
        [
            "rule one: no point has the label lit; did you mean lid?",
            "rule one: its scope fits none of the 5 points",
        ],
        [
            "rule one: no point has the contractor 'cleen'; did you mean clean?",
            "rule one: its scope fits none of the 5 points",
        ],
        ["rule one: none of its points has the label limt_w; did you mean limit_w?"],
    ]
    many = points_of(inventory(bins(1001)))
    assert notes([rule("    when: {absent: {misses: 3}}\n")], many) == [
        "rule one: its scope fits 1001 points; is that meant?"
    ]
    assert notes([rule("    when: {absent: {misses: 3}}\n")], points) == []


def test_the_command_notes_and_does_not_fail(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(HEAD + BY_LABEL + "    scope: {zone: nowhere}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["rules", "check", str(tmp_path), "--inventory", str(demo_city_file())])
    assert result.exit_code == 0, result.output
    assert "note: rule one: no point has the zone 'nowhere'" in result.output
    assert "1 rules, 0 tests" in result.output


CALENDAR = (
    'version: 1\nschool_holidays: [{from: "05-04", to: "05-04"}]\nextra_holidays: [{from: "05-07", to: "05-07"}]\n'
)
HOURS = "    when: {threshold: {metric: power_w, above: 900}}\n    active: {windows: [{days: mon-sun}], except: [%s]}\n"


def test_the_calendar_of_the_folder_is_the_city_s(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(HEAD + HOURS % "holidays, school-holidays", encoding="utf-8")
    (usual,) = read_rules([tmp_path], "Europe/Warsaw")
    (tmp_path / "calendar.yaml").write_text(CALENDAR, encoding="utf-8")
    (own,) = read_rules([tmp_path], "Europe/Warsaw")
    (in_force,) = [one for one in rules_in_force(tmp_path, "Europe/Warsaw") if one.id == "one"]
    assert in_force == own
    assert usual.active is not None
    assert own.active is not None
    assert own.active.time_zone == "Europe/Warsaw"
    days = [round(1_777_852_800e6 + day * 86_400e6 + 43_200e6) for day in range(4)]  # from Monday, 4 May 2026
    assert [usual.active.hours.open_at(day) for day in days] == [True] * 4
    assert [own.active.hours.open_at(day) for day in days] == [False, True, True, False]
    assert own.hash != usual.hash, "what changes the hours changes the rule"
    (tmp_path / "calendar.yaml").write_text(CALENDAR.replace("05-07", "05-32"), encoding="utf-8")
    for read in (lambda: read_rules([tmp_path]), lambda: rules_in_force(tmp_path)):
        with pytest.raises(Exception, match=r"calendar\.yaml:3: extra_holidays\[0\]\.from: must be a month and a day"):
            read()


def test_the_shipped_rules_watch_something_in_the_demo() -> None:
    assert notes(shipped_rules(), points_of(read_inventory(demo_city_file()))) == []
