"""The metric catalogue and the inventory file, right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from catalogue.errors import FileProblems
from catalogue.geometry import BinGeometry, distance_from_fill, fill_from_distance, fills_from_distances
from catalogue.inventory import normal_address, parse_duration, read_inventory
from catalogue.metrics import MAIN_COUNTER, metrics, metrics_by_id
from catalogue.yamlfile import parse_yaml

INVENTORY = """\
version: 1
city: {name: {en: Town, uk: Місто}, latitude: 48.92, longitude: 24.71}
zones:
  - {id: centre, name: {en: Centre, uk: Центр}}
contractors:
  - {id: clean, name: {en: Clean, uk: Чисто}}
sites:
  - id: stand-1
    kind: stand
    name: {en: Stand 1, uk: Майданчик 1}
    zone: centre
    latitude: 48.92
    longitude: 24.71
    points:
      - id: stand-1-paper
        kind: bin
        fraction: paper
        contractor: clean
        interval: 30m
        bin: {empty_mm: 1500, full_mm: 300}
        devices:
          - {address: "24 E1 24", profile: some-profile}
"""


def _inventory(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "city.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        read_inventory(_inventory(tmp_path, text))
    return [f"{problem.line}: {problem.key}: {problem.message}" for problem in caught.value.problems]


def test_metric_numbers_and_names_are_unique_and_end_in_their_unit() -> None:
    assert len(metrics_by_id()) == len(metrics())
    suffixes = {
        "kWh": "kwh", "kvarh": "kvarh", "W": "w", "var": "var", "VA": "va", "Hz": "hz", "V": "v", "A": "a",
        "degC": "c", "m3": "m3", "m3/h": "m3h", "bar": "bar", "pct": "pct", "mm": "mm", "deg": "deg", "ppm": "ppm",
        "hPa": "hpa", "m/s": "ms", "W/m2": "wm2", "dBm": "dbm", "dB": "db",
        "lx": "lx", "kg": "kg", "ug/m3": "ugm3", "ppb": "ppb",
    }  # fmt: skip
    for metric in metrics().values():
        assert metric.range[0] < metric.range[1]
        assert metric.en != metric.uk or metric.name in {"co2_ppm", "pm1_ugm3", "pm2_5_ugm3", "pm10_ugm3"}
        if metric.unit in suffixes:
            assert metric.name.endswith(f"_{suffixes[metric.unit]}")
        else:
            assert metric.unit in {"1", "state"}
    for name in MAIN_COUNTER.values():
        assert metrics()[name].kind == "counter"


def test_published_metrics_keep_number_unit_and_kind() -> None:
    published = {
        1: ("energy_kwh", "kWh", "counter"),
        4: ("power_w", "W", "gauge"),
        9: ("voltage_v", "V", "gauge"),
        24: ("gas_m3", "m3", "counter"),
        25: ("water_m3", "m3", "counter"),
        30: ("fill_level_pct", "pct", "gauge"),
        31: ("distance_mm", "mm", "gauge"),
        32: ("tilted", "state", "state"),
        40: ("temperature_c", "degC", "gauge"),
        50: ("battery_pct", "pct", "gauge"),
        52: ("rssi_dbm", "dBm", "gauge"),
    }
    for number, expected in published.items():
        metric = metrics_by_id()[number]
        assert (metric.name, metric.unit, metric.kind) == expected


def test_inventory_is_read(tmp_path: Path) -> None:
    inventory = read_inventory(_inventory(tmp_path, INVENTORY))
    point = inventory.sites[0].points[0]
    assert point.interval == 1800
    assert point.devices[0].address == "24e124"
    assert inventory.city.time_zone == "Europe/Kyiv"


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    wrong = (
        INVENTORY.replace("interval: 30m", "interval: 30 minutes")
        .replace("fraction: paper", "fraction: wood")
        .replace("zone: centre\n    latitude", "zone: centre\n    colour: red\n    latitude")
    )
    assert _problems(tmp_path, wrong) == [
        "12: sites[0].colour: is not a known key here; check the spelling or remove it",
        "18: sites[0].points[0].fraction: Input should be 'mixed', 'paper', 'plastic', 'glass' or 'bio' (it is 'wood')",
        "20: sites[0].points[0].interval: must be a number with a unit s, m, h or d, for example 15m"
        " (it is '30 minutes')",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("zone: centre\n", "zone: south\n", "11: sites[0].zone: there is no zone 'south' under zones"),
        ("contractor: clean\n", "contractor: dirt\n",
         "18: sites[0].points[0].contractor: there is no contractor 'dirt' under contractors"),
        ("        fraction: paper\n", "", "15: sites[0].points[0].fraction: a bin needs its fraction"),
        ("full_mm: 300", "full_mm: 1600",
         "20: sites[0].points[0].bin: full_mm must be smaller than empty_mm: the sensor looks down from the lid"),
        ("  - {id: centre,", "  - {id: centre, id: other,", '4: id: stands twice here'),
    ],
)  # fmt: skip
def test_mistakes_across_the_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    problems = _problems(tmp_path, INVENTORY.replace(old, new, 1))
    assert any(problem.startswith(message) for problem in problems), problems


def test_one_device_cannot_be_in_two_places_at_once(tmp_path: Path) -> None:
    twice = INVENTORY + INVENTORY[INVENTORY.index("      - id: stand-1-paper") :].replace("stand-1-paper", "stand-1-b")
    assert any("assigned twice at the same time" in problem for problem in _problems(tmp_path, twice))


def test_a_swap_is_two_devices_one_after_the_other(tmp_path: Path) -> None:
    swapped = INVENTORY.replace(
        '          - {address: "24 E1 24", profile: some-profile}\n',
        '          - {address: old, valid_to: "2026-03-01T12:00:00+02:00"}\n'
        '          - {address: new, valid_from: "2026-03-01T12:00:00+02:00"}\n',
    )
    devices = read_inventory(_inventory(tmp_path, swapped)).sites[0].points[0].devices
    assert [device.address for device in devices] == ["old", "new"]


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileProblems, match=r"none\.yaml: cannot be read: No such file"):
        read_inventory(tmp_path / "none.yaml")


def test_yaml_is_1_2() -> None:
    assert parse_yaml("{from: 06:00, answer: no, on: 1}", "f").data == {"from": "06:00", "answer": "no", "on": 1}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["15", "15 m", "m", "-5m", 900, None])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="must be a number with a unit"):
        parse_duration(text)


def test_addresses_are_compared_without_blanks_and_case() -> None:
    assert normal_address(" 24E1 24AB ") == "24e124ab"


SHAPES: list[dict[str, Any]] = [
    {}, {"shape": "tapered", "floor_width_pct": 80}, {"shape": "tapered", "floor_width_pct": 10},
    {"shape": "cylinder"}, {"shape": "sphere"},
]  # fmt: skip


@given(
    fill=st.floats(0, 100),
    empty=st.floats(500, 5000),
    full=st.floats(0, 450),
    shape=st.sampled_from(SHAPES),
)
def test_distance_and_fill_are_inverse(fill: float, empty: float, full: float, shape: dict[str, Any]) -> None:
    geometry = BinGeometry(empty_mm=empty, full_mm=full, **shape)
    again, plausible = fill_from_distance(distance_from_fill(fill, geometry), geometry)
    assert again == pytest.approx(fill, abs=1e-6)
    assert plausible or (fill == 100 and full == 0)


@pytest.mark.parametrize(
    ("distance_mm", "fill_level_pct", "plausible"),
    [(1500, 0, True), (900, 50, True), (300, 100, True), (100, 100, True), (0, 100, False), (1700, 0, False)],
)
def test_fill_from_distance(distance_mm: float, fill_level_pct: float, plausible: bool) -> None:
    geometry = BinGeometry(empty_mm=1500, full_mm=300)
    assert fill_from_distance(distance_mm, geometry) == (pytest.approx(fill_level_pct), plausible)


@pytest.mark.parametrize(
    ("shape", "width"),
    [
        ({}, lambda h: 1.0),
        ({"shape": "tapered", "floor_width_pct": 80}, lambda h: (0.8 + 0.2 * h) ** 2),
        ({"shape": "cylinder"}, lambda h: (h - h * h) ** 0.5),
        ({"shape": "sphere"}, lambda h: h - h * h),
    ],
)
def test_the_fill_level_is_the_share_of_the_volume(shape: dict[str, Any], width: Callable[[float], float]) -> None:
    """Against slices added up; `width` is what a slice at this share of the height measures across."""
    geometry = BinGeometry(empty_mm=1000, full_mm=0, **shape)
    slices = [width((index + 0.5) / 20_000) for index in range(20_000)]
    for height in (0.1, 0.25, 0.5, 0.75, 0.9):
        expected = 100 * sum(slices[: round(20_000 * height)]) / sum(slices)
        assert fill_from_distance(1000 * (1 - height), geometry)[0] == pytest.approx(expected, abs=0.01)


def test_many_distances_at_once_are_the_same() -> None:
    distances = np.array([-5.0, 0, 100, 240, 260, 900, 1490, 1600, 1700])
    for shape in SHAPES:
        geometry = BinGeometry(empty_mm=1500, full_mm=300, blind_mm=250, **shape)
        fills, plausible = fills_from_distances(distances, geometry)
        one_by_one = [fill_from_distance(float(distance), geometry) for distance in distances]
        assert list(zip(fills.tolist(), plausible.tolist(), strict=True)) == one_by_one
        assert plausible.tolist() == [False, False, False, False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"full_mm": 1500}, "full_mm must be smaller than empty_mm"),
        ({"blind_mm": 400}, "blind_mm must not be larger than full_mm"),
        ({"shape": "tapered"}, "a tapered bin needs its floor_width_pct"),
        ({"floor_width_pct": 80}, "no other shape has one"),
    ],
)
def test_a_geometry_that_cannot_be(told: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        BinGeometry(**{"empty_mm": 1500, "full_mm": 300, **told})


geometries = st.builds(
    lambda empty, share, shape: BinGeometry(empty_mm=empty, full_mm=empty * share, **shape),
    st.floats(100, 10_000), st.floats(0, 0.95), st.sampled_from(SHAPES),
)  # fmt: skip


@given(geometry=geometries, near=st.floats(-1e4, 2e4), step=st.floats(0, 2e4))
def test_fill_falls_with_the_distance_without_a_jump(geometry: BinGeometry, near: float, step: float) -> None:
    fill, _ = fill_from_distance(near, geometry)
    farther, _ = fill_from_distance(near + step, geometry)
    assert 0 <= farther <= fill + 1e-9 <= 100 + 2e-9
    steepest = 300 / (geometry.empty_mm - geometry.full_mm)
    assert fill - farther <= steepest * step + 1e-6


@given(geometry=geometries, distance=st.floats(-1e4, 2e4), factor=st.floats(1, 2))
def test_a_beam_that_is_not_plumb_changes_nothing(geometry: BinGeometry, distance: float, factor: float) -> None:
    longer = BinGeometry.model_construct(
        empty_mm=geometry.empty_mm * factor,
        full_mm=geometry.full_mm * factor,
        shape=geometry.shape,
        floor_width_pct=geometry.floor_width_pct,
        blind_mm=None,
    )
    assert fill_from_distance(distance * factor, longer)[0] == pytest.approx(fill_from_distance(distance, geometry)[0])


@given(geometry=geometries, distance=st.floats(-1e4, 2e4))
def test_a_distance_is_plausible_from_above_0_to_a_tenth_beyond_the_floor(
    geometry: BinGeometry, distance: float
) -> None:
    assert fill_from_distance(distance, geometry)[1] == (distance > 0 and distance <= 1.1 * geometry.empty_mm)
