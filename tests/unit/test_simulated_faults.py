"""Every kind of fault shows in what the devices send as it should, from when to when, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from catalogue.faults import fault_kinds
from catalogue.inventory import Inventory
from catalogue.metrics import Quality
from simulators.calendar import DAY_US, HOUR_US
from simulators.city import City, Meter
from simulators.history import stored
from simulators.run import parcels
from simulators.scenario import DERIVED_KINDS, Scenario
from simulators.truth import NEARLY_FULL_PCT, TruthFile, truth_of
from tests.cities import bins, building, inventory

KYIV = ZoneInfo("Europe/Kyiv")
MONDAY = datetime(2026, 1, 19, tzinfo=KYIV)
MONDAY_US = round(MONDAY.timestamp() * 1e6)

Series = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def town() -> Inventory:
    lora = {"devices": [{"address": "24e124136d000001", "profile": "milesight-em300-di"}]}
    school = building(electricity={}, heat={}, water=lora)
    gas_school = building("lyceum", electricity={}, gas={})
    stand = bins(3)
    for number, point in enumerate(stand["points"]):
        point["fraction"] = ["mixed", "paper", "glass"][number]
        point["devices"] = [{"address": f"24e124713d00000{number}", "profile": "milesight-em400-mud"}]
    return inventory(school, gas_school, stand)


def scenario(kind: str, at: datetime = MONDAY, **more: Any) -> Scenario:
    return Scenario.model_validate({"version": 1, "faults": [{"kind": kind, "at": [at.isoformat()], **more}]})


def cities(town: Inventory, kind: str, point: str, **more: Any) -> tuple[Meter, Meter, int, int]:
    """(the meter with the fault, the same without it, the fault's beginning and end)."""
    with_it = City(town, scenario(kind, where={"point": [point]}, **more))
    (fault,) = with_it.faults[point]
    return with_it.meter_of[point], City(town).meter_of[point], fault.from_us, fault.to_us


def series(meter: Meter, from_us: int, to_us: int) -> Series:
    return meter.measure(meter.times_us(from_us, to_us))


def rise(values: np.ndarray[Any, Any]) -> float:
    return float(values[-1] - values[0])


def used(meter: Meter, metric: str, from_us: int, to_us: int) -> float:
    return rise(series(meter, from_us, to_us)[metric])


def test_every_kind_is_tested_here() -> None:
    tested = set(LOADS) | set(SHOWN) | set(SENT) | {"gateway-silent", "lid-open", "bin-overflow", *COUNTERS, *ROUNDS}
    assert tested | DERIVED_KINDS == set(fault_kinds())


#: kind → point, metric, how much more is used during the fault (least and most, in the metric's unit an hour)
LOADS: dict[str, tuple[str, str, float, float]] = {
    "lights-left-on": ("school-electricity", "energy_kwh", 8, 18),
    "no-night-setback": ("school-heat", "energy_kwh", 1, 100),
    "heating-in-holiday": ("school-heat", "energy_kwh", 1, 100),
    "stuck-valve": ("school-heat", "energy_kwh", 23, 51),
    "slow-leak": ("school-water", "water_m3", 0.079, 0.321),
    "burst-pipe": ("school-water", "water_m3", 4.9, 15.1),
    "phase-loss": ("school-electricity", "energy_kwh", -100, -0.5),
    "meter-stuck": ("school-electricity", "energy_kwh", -100, -1),
}


def lowering_town(town: Inventory, seed: int) -> bool:
    return bool(City(town, scenario("no-night-setback"), seed).faults)


@pytest.mark.parametrize("kind", LOADS)
def test_loads_change_while_the_fault_lasts_and_only_then(town: Inventory, kind: str) -> None:
    point, metric, least, most = LOADS[kind]
    seed = next(seed for seed in range(1, 50) if lowering_town(town, seed))
    with_it = City(town, scenario(kind, where={"point": [point]}), seed)
    meter, well = with_it.meter_of[point], City(town, seed=seed).meter_of[point]
    (fault,) = with_it.faults[point]
    hours = (fault.to_us - fault.from_us) / HOUR_US
    more = used(meter, metric, fault.from_us, fault.to_us) - used(well, metric, fault.from_us, fault.to_us)
    assert least <= more / hours <= most
    for from_us, to_us in (
        (fault.from_us - 5 * DAY_US, fault.from_us),
        (fault.to_us + HOUR_US, fault.to_us + 5 * DAY_US),
    ):
        assert used(meter, metric, from_us, to_us) == pytest.approx(used(well, metric, from_us, to_us), abs=1.01)


def test_lights_burn_from_friday_to_monday_and_holidays_are_holidays(town: Inventory) -> None:
    (fault,) = City(town, scenario("lights-left-on", where={"point": ["school-electricity"]})).faults[
        "school-electricity"
    ]
    begin, end = (datetime.fromtimestamp(us / 1e6, KYIV) for us in (fault.from_us, fault.to_us))
    assert (begin.weekday(), begin.hour, end.weekday(), end.hour) == (4, 19, 0, 6)
    seed = next(seed for seed in range(1, 50) if lowering_town(town, seed))
    (fault,) = City(town, scenario("heating-in-holiday"), seed).faults["school-heat"]
    begin = datetime.fromtimestamp(fault.from_us / 1e6, KYIV)
    assert (begin.month, begin.day) in {(3, 21), (3, 22), (3, 24)} or begin.month in (1, 3, 10, 12)


SHOWN: dict[str, tuple[str, Callable[[Series], Any]]] = {
    "weak-line": ("school-electricity", lambda its: sum(its[f"voltage_l{n}_v"].max() < 207 for n in (1, 2, 3)) == 1),
    "reactive-load": ("school-electricity", lambda its: its["power_factor"].max() < 0.8),
    "bin-fire": ("bin-0", lambda its: its["temperature_c"].max() > 40),
    "bin-tipped": ("bin-0", lambda its: (its["tilted"] == 1).all()),
    "unit-error": ("school-electricity", lambda its: its["energy_kwh"].min() > 1e6),
    "battery-fading": ("bin-1", lambda its: its["battery_pct"].min() < 20 <= its["battery_pct"][0]),
    "signal-fading": ("bin-1", lambda its: its["rssi_dbm"][-20:].mean() < its["rssi_dbm"][:20].mean() - 15),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_readings_show_the_fault_while_it_lasts(town: Inventory, kind: str) -> None:
    point, shows = SHOWN[kind]
    meter, well, from_us, to_us = cities(town, kind, point)
    assert shows(series(meter, from_us, to_us))
    assert not shows(series(well, from_us, to_us))
    before = series(meter, from_us - 2 * DAY_US, from_us)
    for name, values in series(well, from_us - 2 * DAY_US, from_us).items():
        assert (before[name] == values).all(), name


def test_a_fire_is_over_with_its_end_and_phases_come_back(town: Inventory) -> None:
    meter, _, _, to_us = cities(town, "bin-fire", "bin-0")
    assert series(meter, to_us, to_us + DAY_US)["temperature_c"].max() < 30
    meter, _, from_us, to_us = cities(town, "phase-loss", "school-electricity")
    lost = series(meter, from_us, to_us)
    assert min(lost[f"voltage_l{n}_v"].max() for n in (1, 2, 3)) < 15
    assert min(lost[f"current_l{n}_a"].max() for n in (1, 2, 3)) == 0


COUNTERS = ("counter-reset", "counter-rollover", "swapped-meter")


@pytest.mark.parametrize("kind", COUNTERS)
def test_a_register_begins_anew_and_goes_on(town: Inventory, kind: str) -> None:
    meter, well, from_us, _ = cities(town, kind, "school-water")
    before = series(meter, from_us - DAY_US, from_us)["water_m3"]
    after = series(meter, from_us, from_us + 3 * DAY_US)["water_m3"]
    assert after[0] < 81
    assert before[-1] > after[-1]
    if kind == "counter-rollover":
        assert before[-1] == pytest.approx(100_000, abs=5)
    assert (np.diff(after) >= 0).all()
    assert rise(after) == pytest.approx(used(well, "water_m3", from_us, from_us + 3 * DAY_US), abs=0.002)


def sent_times(meter: Meter, from_us: int, to_us: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    sent = meter.deliveries(from_us, to_us)
    return sent.time_us, sent.sent_us


SENT = {
    "device-silent": lambda times, sent, from_us, to_us: not ((sent >= from_us) & (sent < to_us)).any(),
    "missing-hours": lambda times, sent, from_us, to_us: not ((sent >= from_us) & (sent < to_us)).any(),
    "late-lump": lambda times, sent, from_us, to_us: (
        not ((sent > from_us + 60_000_000) & (sent < to_us)).any() and ((times >= from_us) & (times < to_us)).sum() > 10
    ),
    "duplicates": lambda times, sent, from_us, to_us: len(times) > 1.1 * len(np.unique(times)),
    "out-of-order": lambda times, sent, from_us, to_us: (np.diff(times) < 0).sum() > 5,
    "clock-off": lambda times, sent, from_us, to_us: (np.abs(sent - times) > HOUR_US / 2).sum() > 20,
    "garbage": lambda times, sent, from_us, to_us: True,
}


@pytest.mark.parametrize("kind", SENT)
def test_what_happens_on_the_way(town: Inventory, kind: str) -> None:
    meter, well, from_us, to_us = cities(town, kind, "school-electricity")
    span = (from_us - DAY_US, to_us + DAY_US)
    assert SENT[kind](*sent_times(meter, *span), from_us, to_us)
    whole, sound = meter.deliveries(*span), well.deliveries(*span)
    assert (np.diff(whole.sent_us) >= 0).all()
    assert whole.garbage.any() == (kind == "garbage")
    assert whole.copy.any() == (kind == "duplicates")
    outside = (whole.measured_us < from_us) | (whole.measured_us >= to_us)
    well_outside = (sound.measured_us < from_us) | (sound.measured_us >= to_us)
    assert (whole.time_us[outside] == sound.time_us[well_outside]).all()


def test_a_gateway_takes_all_its_devices_along(town: Inventory) -> None:
    city = City(town, scenario("gateway-silent"))
    spans = {(fault.from_us, fault.to_us) for faults in city.faults.values() for fault in faults}
    assert len(spans) == 1
    assert set(city.faults) == {"school-water", "bin-0", "bin-1", "bin-2"}
    truth = truth_of(city, MONDAY_US, MONDAY_US + 3 * DAY_US)
    (gateway,) = [fault for fault in truth.faults if fault.kind == "gateway-silent"]
    assert gateway.points == ("bin-0", "bin-1", "bin-2", "school-water")
    assert gateway.gateway == "gateway-centre"


def test_an_open_lid_makes_levels_suspect(town: Inventory) -> None:
    meter, _, from_us, to_us = cities(town, "lid-open", "bin-0")
    _, columns = stored(meter, from_us, to_us)
    assert (columns["fill_level_pct"][1] == Quality.SUSPECT).mean() > 0.9


ROUNDS = ("missed-collection", "bin-blocked")


@pytest.mark.parametrize("kind", ROUNDS)
def test_a_bin_that_is_left_out_fills_on(town: Inventory, kind: str) -> None:
    city = City(town, scenario(kind, where={"point": ["bin-0"]}))
    (fault,) = city.faults["bin-0"]
    meter = city.meter_of["bin-0"]
    bin_ = city.bins["bin-0"]
    assert len(bin_.emptied_us(fault.from_us, fault.to_us, meter.faults)) == 0
    assert len(bin_.rounds_us(fault.from_us, fault.to_us)) >= 2
    grid = np.arange(fault.from_us, fault.to_us, HOUR_US)
    assert bin_.level_pct(grid, meter.faults).max() > NEARLY_FULL_PCT
    (truth,) = [its for its in truth_of(city, MONDAY_US, fault.to_us).faults if its.kind == kind]
    assert truth.noticeable_us is not None
    assert fault.from_us < truth.noticeable_us < fault.to_us


def test_overflow_is_told_from_what_was_thrown_in(town: Inventory) -> None:
    city = City(town, scenario("bin-overflow", where={"point": ["bin-2"]}, amount=12, lasts="3d"))
    truth = truth_of(city, MONDAY_US - DAY_US, MONDAY_US + 10 * DAY_US)
    overflows = [its for its in truth.faults if its.kind == "bin-overflow" and its.noticeable_us is not None]
    assert len(overflows) == 1
    level = city.bins["bin-2"].level_pct(np.array([overflows[0].from_us + HOUR_US]), city.meter_of["bin-2"].faults)
    assert level[0] > 95
    assert not [
        its for its in truth_of(City(town), MONDAY_US, MONDAY_US + 5 * DAY_US).faults if its.kind == "bin-overflow"
    ]


def test_the_same_seed_is_the_same_bytes_and_faults_do_not_depend_on_how_far_one_looks(town: Inventory) -> None:
    everywhere = Scenario.model_validate(
        {
            "version": 1,
            "faults": [
                {"kind": kind, "random": {"per_point_year": 6}} for kind in fault_kinds() if kind not in DERIVED_KINDS
            ],
        }
    )

    def sent(seed: int, until_us: int) -> list[tuple[int, str, bytes]]:
        city = City(town, everywhere, seed, until_us)
        return [(p.sent_us, p.topic, p.payload) for p in parcels(city, MONDAY_US, MONDAY_US + 2 * DAY_US)]

    near, far = MONDAY_US + 3 * DAY_US, MONDAY_US + 300 * DAY_US
    assert sent(1, near) == sent(1, far)
    assert sent(1, near) != sent(2, near)


def test_parcels_go_in_order_and_do_not_depend_on_where_one_begins(town: Inventory) -> None:
    whole = [(p.sent_us, p.topic, p.payload) for p in parcels(City(town), MONDAY_US, MONDAY_US + DAY_US)]
    assert [item[0] for item in whole] == sorted(item[0] for item in whole)
    half = MONDAY_US + DAY_US // 2
    parts = [
        (p.sent_us, p.topic, p.payload)
        for span in ((MONDAY_US, half), (half, MONDAY_US + DAY_US))
        for p in parcels(City(town), *span)
    ]
    assert sorted(parts) == sorted(whole)


def test_truth_files_are_read_as_they_were_written(town: Inventory, tmp_path: Any) -> None:
    city = City(town, scenario("slow-leak"))
    file = truth_of(city, MONDAY_US, MONDAY_US + 3 * DAY_US)
    file.write(tmp_path / "truth.jsonl")
    read = TruthFile.read(tmp_path / "truth.jsonl")
    assert [its.as_json() for its in read.faults] == [its.as_json() for its in file.faults]
    assert (read.from_us, read.to_us, read.seed) == (file.from_us, file.to_us, file.seed)
