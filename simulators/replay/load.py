"""Finding and reading a mapping file, with every mistake's place and an example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from catalogue.errors import FileProblems, Problem
from catalogue.metrics import metrics
from catalogue.yamlfile import Location, read_yaml, validate
from simulators.errors import SimulatorError
from simulators.replay.mapping import OWN_COLUMN, Mapping, MappingFile


def shipped_mappings() -> dict[str, Path]:
    """The mappings that come with Misto, by name."""
    folder = Path(str(files("simulators").joinpath("mappings")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_mapping(name: str) -> Path:
    """The file of a shipped mapping, or the path itself. Raises `SimulatorError` if there is neither."""
    shipped = shipped_mappings()
    if name in shipped:
        return shipped[name]
    if Path(name).is_file():
        return Path(name)
    raise SimulatorError(
        f"there is no mapping {name!r}; give the path of a mapping file, or one of {', '.join(sorted(shipped))}"
    )


def load_mapping(path: Path) -> Mapping:
    """Read and check a mapping file; raises `FileProblems` with every mistake at once."""
    document = read_yaml(path)
    try:
        spec = validate(document, MappingFile)
    except FileProblems as error:
        raise FileProblems([_with_example(problem) for problem in error.problems]) from None
    mapping = Mapping(spec, document)
    mapping.fail(list(_cross_problems(spec)))
    return mapping


def _cross_problems(spec: MappingFile) -> Iterator[tuple[Location, str]]:
    """Mistakes that only the whole file shows: units, registers, wide files."""
    wide = spec.device.from_columns is not None
    own = False
    for r, reading in enumerate(spec.readings):
        seen: set[str] = set()
        for v, value in enumerate(reading.values):
            here: Location = ("readings", r, "values", v)
            if value.metric not in metrics():
                near = get_close_matches(value.metric, metrics(), 1) or ["power_w"]
                yield (
                    (*here, "metric"),
                    f"there is no metric {value.metric!r} in the catalogue, for example {near[0]}",
                )
                continue
            if value.metric in seen:
                yield (*here, "metric"), f"{value.metric} stands twice in this reading; give each metric one column"
            seen.add(value.metric)
            if value.accumulate and metrics()[value.metric].kind != "counter":
                yield (
                    (*here, "accumulate"),
                    f"makes a register, and {value.metric} is none; use a counter, for example energy_kwh",
                )
            if value.accumulate and spec.time.marks is None:
                yield (
                    (*here, "accumulate"),
                    "needs to know which interval an amount is of: give time.marks as start or end, "
                    "for example marks: start",
                )
            try:
                _ = value.conversion
            except ValueError as error:
                yield (*here, "unit"), str(error)
            own = own or value.column == OWN_COLUMN
            if value.column == OWN_COLUMN and not wide:
                yield (
                    (*here, "column"),
                    "'*' is the device's own column of a wide file; give device.from_columns, "
                    "for example from_columns: others",
                )
    if wide and not own:
        yield (
            ("device", "from_columns"),
            "no reading uses the devices' columns; give one the column '*', "
            'for example {column: "*", metric: power_w, unit: W}',
        )


_EXAMPLES = {
    "version": "version: 1",
    "title": "title: Gas meters of 2026",
    "file": 'file: {separator: ";"}',
    "time": "time: {column: timestamp, zone: Europe/Kyiv}",
    "column": "column: timestamp",
    "device": 'device: {address: "bin-{Bin ID}"}',
    "address": 'address: "bin-{Bin ID}"',
    "from_columns": "from_columns: others",
    "where": "where: [{column: status, equals: ok}]",
    "readings": "readings: [{values: [{column: kwh, metric: energy_kwh}]}]",
    "values": "values: [{column: kwh, metric: energy_kwh}]",
    "metric": "metric: energy_kwh",
    "unit": "unit: kWh",
    "scale": "scale: 10",
    "offset": "offset: -0.5",
    "between": "between: [0, 60]",
    "accumulate": "accumulate: true",
    "marks": "marks: start",
    "separator": 'separator: ";"',
    "columns": "columns: [time, flow]",
    "encoding": "encoding: windows-1251",
    "shift": "shift: {end: now, step: 7d}",
    "end": "end: now",
    "id": 'id: "bin-{Bin ID}"',
    "name": "name: {en: School 5, uk: Школа 5}",
    "kind": "kind: electricity",
    "fraction": "fraction: mixed",
    "city": "city: {name: {en: Lviv, uk: Львів}, latitude: 49.84, longitude: 24.03}",
    "site": "site: {id: school-5, kind: building, name: {en: School 5, uk: Школа 5}}",
    "point": "point: {kind: electricity}",
}


def _with_example(problem: Problem) -> Problem:
    """A mistake in form, with an example of the key."""
    key = re.split(r"[.\[]", problem.key)[-1] if problem.key else ""
    if "for example" not in problem.message and "not a known key" not in problem.message and key in _EXAMPLES:
        return replace(problem, message=f"{problem.message}; for example {_EXAMPLES[key]}")
    return problem
