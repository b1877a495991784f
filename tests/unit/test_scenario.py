"""Scenario files: what they take, and what they say about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogue.errors import FileProblems
from catalogue.inventory import Inventory, read_inventory
from misto.history import demo_scenario_file
from rules.loader import shipped_rules
from simulators.city import City
from simulators.errors import SimulatorError
from simulators.generate import CitySize, as_yaml, generate, generate_inventory
from simulators.scenario import read_scenario
from simulators.truth import TruthFile

HEAD = "version: 1\ncity: {buildings: 4, bins: 8}\nfaults:\n"

BAD = [
    (
        HEAD + "  - {kind: slow-leek, random: {per_point_year: 1}}\n",
        "scenario.yaml:4: faults[0].kind: there is no fault 'slow-leek' to inject; see `misto simulate faults`, "
        "for example slow-leak",
    ),
    (
        HEAD + "  - {kind: bin-nearly-full, random: {per_point_year: 1}}\n",
        "scenario.yaml:4: faults[0].kind: there is no fault 'bin-nearly-full' to inject; see `misto simulate faults`, "
        "for example slow-leak",
    ),
    (
        HEAD + "  - {kind: slow-leak}\n",
        "scenario.yaml:4: faults[0]: needs either at or random, for example at: [2026-01-15T02:00:00+02:00] or "
        "random: {per_point_year: 1}",
    ),
    (
        HEAD + "  - {kind: slow-leak, at: [2026-01-15T02:00:00]}\n",
        "scenario.yaml:4: faults[0].at[0]: needs a time zone, for example 2026-01-15T02:00:00+02:00",
    ),
    (
        HEAD + "  - {kind: slow-leak, at: [2019-01-15T02:00:00+02:00]}\n",
        "scenario.yaml:4: faults[0].at[0]: lies before 2025-01-01, where the simulation begins",
    ),
    (
        HEAD + "  - {kind: slow-leak, random: {per_point_year: 1}, lasts: {from: 9d, to: 2d}}\n",
        "scenario.yaml:4: faults[0].lasts: its from must not be more than its to",
    ),
    (
        HEAD + "  - {kind: slow-leak, random: {per_point_year: 1}, lasts: 6 hours}\n",
        "scenario.yaml:4: faults[0].lasts: must be a number with a unit s, m, h or d, for example 15m "
        "(it is '6 hours')",
    ),
    (
        HEAD + "  - {kind: slow-leak, random: {per_point_year: 1}, amount: {least: 3}}\n",
        "scenario.yaml:4: faults[0].amount: must be written as {from: 60, to: 300} or 120",
    ),
    (
        HEAD + "  - {kind: device-silent, random: {per_point_year: 1}, amount: 3}\n",
        "scenario.yaml:4: faults[0]: the fault device-silent has no amount",
    ),
    (
        HEAD + "  - {kind: counter-reset, random: {per_point_year: 1}, lasts: 3d}\n",
        "scenario.yaml:4: faults[0]: the fault counter-reset happens at its moment or by the rounds; it takes no lasts",
    ),
    (
        HEAD + "  - {kind: slow-leak, random: {per_point_year: 1}, where: {site: [townhall]}}\n",
        "scenario.yaml:4: faults[0].where.site[0]: the city has no site 'townhall', but for example 'building-0001'",
    ),
    (
        HEAD + "  - {kind: slow-leak, random: {per_point_year: 1}, wehre: {}}\n",
        "scenario.yaml:4: faults[0].wehre: is not a known key here; did you mean where?",
    ),
    (
        "version: 1\nfrom: 2026-02-01T00:00:00Z\nto: 2026-01-01T00:00:00Z\n",
        "scenario.yaml: its from must lie before its to",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    with pytest.raises(FileProblems) as caught:
        read_scenario(path)
    assert str(caught.value).removeprefix(f"{tmp_path}/") == message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(HEAD + "  - {kind: slow-leek, random: {per_point_year: 1}}\n  - {kind: bin-fire}\n")
    with pytest.raises(FileProblems) as caught:
        read_scenario(path)
    assert len(caught.value.problems) == 2


def test_a_share_and_a_place_choose_points(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(
        "version: 1\ncity: {buildings: 0, bins: 100}\nfrom: 2026-01-01T00:00:00Z\nfaults:\n"
        "  - {kind: bin-fire, at: [2026-01-15T02:00:00Z], where: {fraction: [paper], share: 0.2}, lasts: 1h, amount: 70}\n"
    )
    scenario, inventory = read_scenario(path)
    assert inventory is not None
    faults = [fault for its in City(inventory, scenario).faults.values() for fault in its]
    assert len(faults) == 5
    assert all("paper" in fault.point and fault.amount == 70 for fault in faults)
    others = [fault for its in City(inventory, scenario, seed=2).faults.values() for fault in its]
    assert {fault.point for fault in faults} != {fault.point for fault in others}


def test_the_shipped_scenarios_are_right() -> None:
    demo, inventory = read_scenario(demo_scenario_file())
    assert inventory is None
    assert demo.faults
    year, city = read_scenario(Path(__file__).parents[2] / "bench" / "city-year" / "scenario.yaml")
    assert city is not None
    kinds = [point.kind for site in city.sites for point in site.points]
    assert kinds.count("bin") == 1000
    assert sum(site.kind == "building" for site in city.sites) == 200
    detected = {kind for rule in shipped_rules() for kind in rule.detects}
    assert detected - {"bin-nearly-full"} <= {injection.kind for injection in year.faults}


def test_a_made_up_city_is_a_right_inventory_and_always_the_same(tmp_path: Path) -> None:
    size = CitySize(buildings=30, bins=50, interval="1m")
    path = tmp_path / "city.yaml"
    path.write_text(as_yaml(generate(size)), encoding="utf-8")
    inventory = read_inventory(path)
    assert isinstance(inventory, Inventory)
    assert inventory == generate_inventory(size)
    assert {site.use for site in inventory.sites if site.kind == "building"} >= {"school", "hospital", "office"}
    assert all(point.interval == 60 for site in inventory.sites for point in site.points)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'truth.jsonl:1: is no line of a truth file: its first line must be {"truth": 1'),
        ('{"truth": 1, "seed": 1, "from": "2026-01-01T00:00:00Z"}', "truth.jsonl:1: to is missing"),
        (
            '{"truth": 1, "seed": 1, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}\n{"kind": "x"}',
            "truth.jsonl:2: is no line of a truth file: there is no fault 'x'",
        ),
        (
            '{"truth": 1, "seed": 1, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}\n{"kind":',
            "truth.jsonl:2: is no line of a truth file",
        ),
    ],
)
def test_a_wrong_truth_file_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(text)
    with pytest.raises(SimulatorError) as caught:
        TruthFile.read(path)
    assert message in str(caught.value)
