"""Replay: mistakes of a mapping, and rows that become messages."""

from __future__ import annotations

import gzip
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from catalogue.errors import FileProblems
from catalogue.inventory import Inventory
from catalogue.metrics import metrics
from simulators.errors import SimulatorError
from simulators.replay.convert import Converter
from simulators.replay.inventory import inventory_of
from simulators.replay.load import find_mapping, load_mapping, shipped_mappings
from simulators.replay.messages import Account
from simulators.replay.reader import file_stem, open_table

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SIMPLE = """
    version: 1
    title: Test
    time: {column: t, zone: UTC}
    device: {address: meter}
    readings:
      - values: [{column: v, metric: power_w}]
"""
HOURLY = """
    version: 1
    title: Test
    time: {column: t, zone: UTC, marks: start}
    device: {address: "meter-{m}"}
    readings:
      - values: [{column: v, metric: energy_kwh, accumulate: true}]
"""

Sent = list[tuple[str, dict[str, Any]]]


class Played:
    """The messages of a file and the account of its rows."""

    def __init__(self, converter: Converter, sent: Sent) -> None:
        self.converter = converter
        self.sent = sent

    @property
    def account(self) -> Account:
        return self.converter.account

    def reasons(self) -> dict[str, list[int]]:
        return {reason: entry.lines for reason, entry in self.account.reasons.items()}

    def series(self, metric: str) -> list[tuple[str, float]]:
        return [(content["time"][:16], content[metric]) for _, content in self.sent if metric in content]


def play_file(path: Path, mapping: str, tmp_path: Path, **options: Any) -> Played:
    written = tmp_path / "mapping.yaml"
    written.write_text(dedent(mapping), encoding="utf-8")
    found = load_mapping(written)
    with open_table(path, found.spec.file) as table:
        converter = Converter(found, table.columns, file_stem(path))
        for row in table.rows:
            converter.add(row)
    messages = converter.finish(round(NOW.timestamp() * 1e6), **options)
    times = [time_us for time_us, _, _ in messages]
    assert times == sorted(times)
    return Played(converter, [(topic, json.loads(payload)) for _, topic, payload in messages])


def play(data: str, mapping: str, tmp_path: Path, **options: Any) -> Played:
    path = tmp_path / "data.csv"
    path.write_text(dedent(data).lstrip("\n"), encoding="utf-8")
    return play_file(path, mapping, tmp_path, **options)


def mistakes(mapping: str, tmp_path: Path) -> list[str]:
    written = tmp_path / "m.yaml"
    written.write_text(dedent(mapping).lstrip("\n"), encoding="utf-8")
    with pytest.raises(FileProblems) as raised:
        load_mapping(written)
    return [str(problem).removeprefix(str(tmp_path) + "/") for problem in raised.value.problems]


# --- the mapping


def test_every_mistake_of_form_is_told_with_its_line_and_an_example(tmp_path: Path) -> None:
    found = mistakes(
        """
        version: 1
        titel: Test
        time: {column: t, zone: Kyiv}
        device: {address: "bin-{id"}
        readings:
          - at: soon
            values:
              - {metric: power_w, scale: ten}
        """,
        tmp_path,
    )
    assert found == [
        "m.yaml: title: is missing; for example title: Gas meters of 2026",
        "m.yaml:2: titel: is not a known key here; did you mean title?",
        "m.yaml:3: time.zone: is not a time zone of the IANA database, for example Europe/Kyiv (it is 'Kyiv')",
        "m.yaml:4: device.address: has a brace without its partner; names of columns stand in braces, "
        "for example bin-{Bin ID} (it is 'bin-{id')",
        "m.yaml:6: readings[0].at: must be a number with a unit s, m, h or d, for example 1h or -1m (it is 'soon')",
        "m.yaml:8: readings[0].values[0].column: is missing; for example column: timestamp",
        "m.yaml:8: readings[0].values[0].scale: Input should be a valid number, unable to parse string as a number "
        "(it is 'ten'); for example scale: 10",
    ]


def test_every_mistake_of_sense_is_told_with_its_line_and_an_example(tmp_path: Path) -> None:
    found = mistakes(
        """
        version: 1
        title: Test
        time: {column: t}
        device: {address: a}
        readings:
          - values:
              - {column: a, metric: power_kw}
              - {column: b, metric: temperature_c, unit: kWh}
              - {column: c, metric: power_w, accumulate: true}
              - {column: d, metric: energy_kwh, unit: W, accumulate: true}
              - {column: "*", metric: power_w}
        """,
        tmp_path,
    )
    there = "readings[0].values"
    assert (
        found[0] == f"m.yaml:7: {there}[0].metric: there is no metric 'power_kw' in the catalogue, for example power_w"
    )
    assert found[1].startswith(
        f"m.yaml:8: {there}[1].unit: 'kWh' cannot become 'degC' of temperature_c: Cannot convert"
    )
    assert found[1].endswith("; for example degF")
    assert found[2:] == [
        f"m.yaml:9: {there}[2].accumulate: makes a register, and power_w is none; use a counter, for example energy_kwh",
        f"m.yaml:9: {there}[2].accumulate: needs to know which interval an amount is of: give time.marks as start or "
        "end, for example marks: start",
        f"m.yaml:10: {there}[3].accumulate: needs to know which interval an amount is of: give time.marks as start or "
        "end, for example marks: start",
        f"m.yaml:11: {there}[4].metric: power_w stands twice in this reading; give each metric one column",
        f"m.yaml:11: {there}[4].column: '*' is the device's own column of a wide file; give device.from_columns, "
        "for example from_columns: others",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("time: {column: t, zone: UTC}", "time: {column: t, format: seconds}"),
            "m.yaml:3: time: format 'seconds' is none; expected iso, epoch_s, epoch_ms or one of strptime, "
            "for example '%d-%m-%Y %H:%M'",
        ),
        (
            ("time: {column: t, zone: UTC}", "time: {column: t, format: '%d.%m.%Y'}"),
            "m.yaml:3: time: format '%d.%m.%Y' has no zone, so the key zone is needed, for example zone: Europe/Kyiv",
        ),
        (
            ("address: meter}", "address: meter, from_columns: others}"),
            "m.yaml:4: device.from_columns: no reading uses the devices' columns; give one the column '*', "
            'for example {column: "*", metric: power_w, unit: W}',
        ),
        (
            ("title: Test", "title: Test\n    where: [{column: a}]"),
            "m.yaml:3: where[0]: needs either equals or not_equals, for example {column: status, equals: ok}",
        ),
        (
            ("title: Test", "title: Test\n    file: {encoding: utf-9}"),
            "m.yaml:3: file.encoding: is no encoding that Python knows, for example windows-1251 (it is 'utf-9')",
        ),
        (
            ("metric: power_w}", "metric: power_w, between: [60, 0]}"),
            "m.yaml:6: readings[0].values[0].between: must be the lower and then the upper bound, for example [0, 60]",
        ),
        (
            ("title: Test", "title: Test\n    shift: {end: 2026-03-01T12:00:00}"),
            "needs a time zone, for example 2026-03-01T12:00:00+02:00",
        ),
    ],
)
def test_a_mistake_says_what_was_expected(change: tuple[str, str], expected: str, tmp_path: Path) -> None:
    (found,) = mistakes(SIMPLE.replace(*change), tmp_path)
    assert expected in found


def test_a_column_that_the_file_does_not_have_is_told_with_those_that_it_has(tmp_path: Path) -> None:
    mapping = SIMPLE.replace("address: meter", 'address: "meter-{Serial}"')
    with pytest.raises(FileProblems) as raised:
        play("time,v\n2026-01-01,1\n", mapping, tmp_path)
    name = tmp_path / "mapping.yaml"
    assert str(raised.value).splitlines() == [
        f"{name}:4: time.column: the file has no column 't'; its columns are: 'time', 'v'",
        f"{name}:5: device.address: the file has no column 'Serial'; its columns are: 'time', 'v'",
    ]
    with pytest.raises(FileProblems, match=r"has more than one column 'v'; its columns are: 't', 'v', 'v'"):
        play("t,v,v\n", SIMPLE, tmp_path)


def test_a_mapping_is_found_by_name_or_path(tmp_path: Path) -> None:
    assert find_mapping("wyndham").name == "wyndham.yaml"
    own = tmp_path / "own.yaml"
    own.touch()
    assert find_mapping(str(own)) == own
    with pytest.raises(
        SimulatorError, match=r"no mapping 'windham'; give the path of a mapping file, or one of .*wyndham"
    ):
        find_mapping("windham")


@pytest.mark.parametrize("path", shipped_mappings().values(), ids=shipped_mappings().keys())
def test_every_shipped_mapping_is_right_and_in_the_documentation(path: Path) -> None:
    spec = load_mapping(path).spec
    assert spec.inventory is not None
    assert spec.shift is not None
    assert spec.licence
    page = Path(__file__).parents[2] / "docs" / "replay.md"
    assert f"`{path.stem}`" in page.read_text(encoding="utf-8")


# --- the file


def test_an_empty_file_is_a_sentence_and_one_without_rows_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"data\.csv is empty; expected a header and rows"):
        play("", SIMPLE, tmp_path)
    played = play("t,v\n", SIMPLE, tmp_path)
    assert (played.sent, played.account.rows) == ([], 0)
    assert play("t,m,v\n", HOURLY, tmp_path).sent == []


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"nowhere\.csv cannot be read: No such file"):
        play_file(tmp_path / "nowhere.csv", SIMPLE, tmp_path)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"t,v\n" + b"2026-01-01,5\n" * 9_000)[:60])
    with pytest.raises(SimulatorError, match=r"broken\.csv\.gz cannot be read: Compressed file ended"):
        play_file(broken, SIMPLE, tmp_path)
    broken.write_bytes(b"t,v\n")
    with pytest.raises(SimulatorError, match=r"broken\.csv\.gz cannot be read: Not a gzipped file"):
        play_file(broken, SIMPLE, tmp_path)


def test_another_encoding_separator_decimal_sign_and_lines_above_the_header(tmp_path: Path) -> None:
    text = 'Лічильник "Школа\n\nЧас;Потужність\n23.11.2026 08:30;"1,5"\n'
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode("windows-1251"))
    mapping = """
        version: 1
        title: Test
        file: {separator: ";", decimal: ",", encoding: windows-1251, skip_lines: 2}
        time: {column: Час, format: "%d.%m.%Y %H:%M", zone: Europe/Kyiv}
        device: {address: meter}
        readings: [{values: [{column: Потужність, metric: power_w, unit: kW}]}]
    """
    assert play_file(path, mapping, tmp_path).sent == [
        ("misto/meter/up", {"device": "meter", "time": "2026-11-23T06:30:00Z", "power_w": 1500.0})
    ]
    with pytest.raises(
        SimulatorError, match=r"after line 0 there is text that is not utf-8; give file\.encoding in the mapping"
    ):
        play_file(path, mapping.replace(", encoding: windows-1251", ""), tmp_path)


def test_a_file_without_header_with_blanks_and_epochs(tmp_path: Path) -> None:
    mapping = """
        version: 1
        title: Test
        file: {separator: " ", columns: [at, flow]}
        time: {column: at, format: epoch_s}
        device: {address: "{file}"}
        readings: [{values: [{column: flow, metric: flow_m3h, unit: L/min}]}]
    """
    played = play("1596503593 0.0\n1596503604.5  10\n", mapping, tmp_path)
    assert played.sent == [
        ("misto/data/up", {"device": "data", "time": "2020-08-04T01:13:13Z", "flow_m3h": 0.0}),
        ("misto/data/up", {"device": "data", "time": "2020-08-04T01:13:24.500000Z", "flow_m3h": 0.6}),
    ]
    assert play("1596503593250 60\n", mapping.replace("epoch_s", "epoch_ms"), tmp_path).series("flow_m3h") == [
        ("2020-08-04T01:13", 3.6)
    ]


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = arrow.array([1_767_225_600_000_000_001, 1_767_229_200_000_000_000, None], arrow.timestamp("ns", tz="UTC"))
    table = arrow.table({"t": times, "m": [7.0, 7.0, 7.0], "v": [1.5, None, 2.0]})
    path = tmp_path / "data.parquet"
    parquet.write_table(table, path)
    mapping = SIMPLE.replace("address: meter", 'address: "meter-{m}"')
    played = play_file(path, mapping, tmp_path)
    assert played.sent == [("misto/meter-7/up", {"device": "meter-7", "time": "2026-01-01T00:00:00Z", "power_w": 1.5})]
    assert played.reasons() == {"v: no value": [2], "t: is empty": [3]}
    path.write_text("no parquet")
    with pytest.raises(SimulatorError, match=r"data\.parquet is no Parquet file"):
        play_file(path, mapping, tmp_path)


def test_parquet_without_pyarrow_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "data.parquet"
    path.touch()
    with pytest.raises(SimulatorError, match=r"needs pyarrow; install it with: pip install 'misto\[parquet\]'"):
        play_file(path, SIMPLE, tmp_path)


# --- rows


def test_bad_values_are_left_out_and_told_with_their_lines(tmp_path: Path) -> None:
    played = play(
        """
        t,v
        2026-01-01T00:00,1
        yesterday,2
        2026-01-01T01:00,
        2026-01-01T02:00,many

        2026-01-01T03:00
        2026-01-01T04:00,1_000
        2026-01-01T05:00,inf
        2026-12-24T00:00,3
        2026-01-01T06:00,4
        """,
        SIMPLE,
        tmp_path,
    )
    assert played.series("power_w") == [("2026-01-01T00:00", 1.0), ("2026-01-01T06:00", 4.0)]
    assert played.reasons() == {
        "t: is no time; expected for example 2026-11-23T10:15:00Z": [3],
        "v: no value": [4, 8],
        "v: is no number": [5],
        "the row has another number of cells than the 2 columns": [7],
        "v: is no finite number": [9],
        "its time lies in the future": [10],
    }
    assert (played.account.rows, played.account.skipped_rows) == (9, 6)
    assert played.account.reasons["v: is no number"].example == "many"


def test_only_the_first_lines_are_kept(tmp_path: Path) -> None:
    played = play("t,v\n" + "2026-01-01,x\n" * 20, SIMPLE, tmp_path)
    assert played.account.reasons["v: is no number"].count == 20
    assert played.reasons() == {"v: is no number": [2, 3, 4, 5, 6]}


def test_units_scale_offset_and_bounds(tmp_path: Path) -> None:
    mapping = """
        version: 1
        title: Test
        time: {column: t}
        device: {address: a}
        readings:
          - values:
              - {column: f, metric: temperature_c, unit: degF}
              - {column: share, metric: humidity_pct, unit: "1"}
              - {column: fill, metric: fill_level_pct, scale: 10, offset: 5}
              - {column: th, metric: energy_kwh, unit: therm}
              - {column: flow, metric: flow_m3h, unit: L/min, between: [0, 60]}
    """
    played = play("t,f,share,fill,th,flow\n2026-01-01T00:00:00+02:00,50,0.81,7,1,61\n", mapping, tmp_path)
    ((_, content),) = played.sent
    assert content == {
        "device": "a",
        "time": "2025-12-31T22:00:00Z",
        "temperature_c": 10.0,
        "humidity_pct": 81.0,
        "fill_level_pct": 75.0,
        "energy_kwh": pytest.approx(29.307111),
    }
    assert played.reasons() == {"flow: is not between 0 and 60": [2]}


def test_a_row_may_be_several_readings_and_messages_go_in_order_of_time(tmp_path: Path) -> None:
    mapping = """
        version: 1
        title: Test
        time: {column: [day, hour], zone: Europe/London}
        device: {address: "Bin {id}"}
        readings:
          - at: -1m
            values: [{column: before, metric: fill_level_pct}]
          - values: [{column: after, metric: fill_level_pct}]
    """
    played = play("id,day,hour,before,after\nB,2016-06-10,09:00,62,0\nA,2016-06-10,08:00,50,x\n", mapping, tmp_path)
    assert [(topic, content["time"], content["fill_level_pct"]) for topic, content in played.sent] == [
        ("misto/bina/up", "2016-06-10T06:59:00Z", 50.0),
        ("misto/binb/up", "2016-06-10T07:59:00Z", 62.0),
        ("misto/binb/up", "2016-06-10T08:00:00Z", 0.0),
    ]
    assert played.account.skipped_rows == 0


def test_duplicates_are_sent(tmp_path: Path) -> None:
    assert len(play("t,v\n2026-01-01,1\n2026-01-01,1\n2026-01-01,2\n", SIMPLE, tmp_path).sent) == 3


def test_a_filter_by_columns(tmp_path: Path) -> None:
    data = "t,s,k,v\n2026-01-01,OK,1,1\n2026-01-02,fault,1,2\n2026-01-03,ok,2,3\n2026-01-04,warm,1,4\n"
    mapping = SIMPLE + "    where: [{column: s, equals: [ok, warm]}, {column: k, not_equals: 2}]\n"
    played = play(data, mapping, tmp_path)
    assert [value for _, value in played.series("power_w")] == [1.0, 4.0]
    assert (played.account.filtered, played.account.skipped_rows) == (2, 0)


def test_addresses_that_no_topic_can_have_are_left_out(tmp_path: Path) -> None:
    mapping = SIMPLE.replace("address: meter", 'address: "m-{id}"')
    played = play("id,t,v\n,2026-01-01,1\na#,2026-01-01,2\nA b,2026-01-01,3\n", mapping, tmp_path)
    assert [topic for topic, _ in played.sent] == ["misto/m-ab/up"]
    assert played.reasons() == {
        "id: the device's address is empty": [2],
        "the device's address has +, # or more than 128 letters": [3],
    }


def test_a_time_without_a_zone_is_told(tmp_path: Path) -> None:
    played = play("t,v\n2026-01-01,1\n", SIMPLE.replace(", zone: UTC", ""), tmp_path)
    assert played.reasons() == {"t: has no time zone; give time.zone, for example Europe/Kyiv": [2]}


# --- clock changes


def test_the_hour_that_autumn_repeats_and_the_one_that_spring_skips(tmp_path: Path) -> None:
    mapping = SIMPLE.replace("zone: UTC", "zone: Europe/Kyiv")
    played = play(
        """
        t,v
        2025-10-26T02:30,1
        2025-10-26T03:00,2
        2025-10-26T03:30,3
        2025-10-26T03:00,4
        2025-10-26T03:30,5
        2025-10-26T04:00,6
        2026-03-29T02:30,7
        2026-03-29T03:30,8
        2026-03-29T04:00,9
        """,
        mapping,
        tmp_path,
    )
    assert [(time[5:], value) for time, value in played.series("power_w")] == [
        ("10-25T23:30", 1.0),
        ("10-26T00:00", 2.0),
        ("10-26T00:30", 3.0),
        ("10-26T01:00", 4.0),
        ("10-26T01:30", 5.0),
        ("10-26T02:00", 6.0),
        ("03-29T00:30", 7.0),
        ("03-29T01:00", 9.0),
    ]
    assert played.reasons() == {"t: does not exist in Europe/Kyiv, the clocks skipped it; is time.zone right?": [9]}


# --- registers


def test_amounts_become_a_register_for_each_device(tmp_path: Path) -> None:
    data = """
        m,t,v
        a,2026-01-01T01:00,2
        b,2026-01-01T00:00,10
        a,2026-01-01T00:00,1
        b,2026-01-01T01:00,20
        a,2026-01-01T02:00,4
    """
    played = play(data, HOURLY, tmp_path)
    of_a = [(content["time"][11:16], content["energy_kwh"]) for topic, content in played.sent if "-a/" in topic]
    of_b = [(content["time"][11:16], content["energy_kwh"]) for topic, content in played.sent if "-b/" in topic]
    assert of_a == [("00:00", 0.0), ("01:00", 1.0), ("02:00", 3.0), ("03:00", 7.0)]
    assert of_b == [("00:00", 0.0), ("01:00", 10.0), ("02:00", 30.0)]
    played = play(data, HOURLY.replace("marks: start", "marks: end"), tmp_path)
    of_a = [(content["time"][5:16], content["energy_kwh"]) for topic, content in played.sent if "-a/" in topic]
    assert of_a == [("12-31T23:00", 0.0), ("01-01T00:00", 1.0), ("01-01T01:00", 3.0), ("01-01T02:00", 7.0)]


def test_an_unknown_amount_makes_no_reading_and_a_register_never_falls(tmp_path: Path) -> None:
    data = """
        m,t,v
        a,2026-01-01T00:00,
        a,2026-01-01T01:00,1
        a,2026-01-01T02:00,
        a,2026-01-01T03:00,2
        a,2026-01-01T03:00,2
        a,2026-01-01T04:00,-5
        a,2026-01-01T05:00,4
    """
    played = play(data, HOURLY, tmp_path)
    assert [(time[11:], value) for time, value in played.series("energy_kwh")] == [
        ("01:00", 0.0),
        ("02:00", 1.0),
        ("04:00", 3.0),
        ("06:00", 7.0),
    ]
    assert played.reasons() == {
        "v: no value": [2, 4],
        "a second amount for the same interval": [6],
        "v: is negative, and a register does not fall": [7],
    }


def test_the_longest_interval_ends_an_amount_before_a_hole(tmp_path: Path) -> None:
    data = "m,t,v\na,2026-01-01T00:00,1\na,2026-01-01T09:00,2\n"
    times = [time[11:] for time, _ in play(data, HOURLY, tmp_path).series("energy_kwh")]
    assert times == ["00:00", "09:00", "18:00"]
    held = HOURLY.replace("marks: start", "marks: start, interval: 1h")
    assert [time[11:] for time, _ in play(data, held, tmp_path).series("energy_kwh")] == ["00:00", "01:00", "10:00"]
    alone = "m,t,v\na,2026-01-01T00:00,1\n"
    assert len(play(alone, held, tmp_path).sent) == 2
    played = play(alone, HOURLY, tmp_path)
    assert played.sent == []
    assert played.reasons() == {"a single amount has no interval; give time.interval, for example 1h": [2]}


def test_a_rate_is_summed_over_time(tmp_path: Path) -> None:
    mapping = HOURLY.replace("accumulate: true", "unit: kW, accumulate: true")
    data = "m,t,v\na,2026-01-01T00:00,3\na,2026-01-01T00:15,2\na,2026-01-01T00:45,2\n"
    assert [value for _, value in play(data, mapping, tmp_path).series("energy_kwh")] == [0.0, 0.75, 1.75, 2.75]


# --- wide files


def test_a_wide_file_has_a_device_in_each_column(tmp_path: Path) -> None:
    mapping = """
        version: 1
        title: Test
        time: {column: "", zone: UTC, marks: start, interval: 1h}
        device: {address: "grid-{column}", from_columns: others}
        readings:
          - values:
              - {column: "*", metric: power_w, unit: kW}
              - {column: outdoors, metric: temperature_c}
              - {column: "*", metric: energy_kwh, unit: kW, accumulate: true}
    """
    data = ",A,b,outdoors\n2026-01-01T00:00,1,2,-5\n2026-01-01T01:00,3,,-6\n"
    played = play(data, mapping, tmp_path)
    assert [
        (topic, content.get("power_w"), content.get("temperature_c"))
        for topic, content in played.sent
        if "temperature_c" in content
    ] == [
        ("misto/grid-a/up", 1000.0, -5.0),
        ("misto/grid-b/up", 2000.0, -5.0),
        ("misto/grid-a/up", 3000.0, -6.0),
        ("misto/grid-b/up", None, -6.0),
    ]
    assert [content["energy_kwh"] for topic, content in played.sent if "energy_kwh" in content and "-a/" in topic] == [
        0.0,
        1.0,
        4.0,
    ]
    assert [content["energy_kwh"] for topic, content in played.sent if "energy_kwh" in content and "-b/" in topic] == [
        0.0,
        2.0,
    ]
    assert played.reasons() == {"b: no value": [3]}
    only = play(data, mapping.replace("others", "[A]"), tmp_path)
    assert {topic for topic, _ in only.sent} == {"misto/grid-a/up"}


# --- cutting and shifting


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def test_the_cut_is_by_recorded_times_and_the_shift_comes_after(tmp_path: Path) -> None:
    data = "t,v\n" + "".join(f"2018-01-0{day},{day}\n" for day in range(1, 8))
    bounds = {"from_us": us("2018-01-03T00:00Z"), "to_us": us("2018-01-05T00:00Z")}
    assert play(data, SIMPLE, tmp_path, **bounds).series("power_w") == [
        ("2018-01-03T00:00", 3.0),
        ("2018-01-04T00:00", 4.0),
    ]
    exact = SIMPLE + "    shift: {end: now}\n"
    assert play(data, exact, tmp_path).series("power_w")[-1] == ("2026-11-23T10:00", 7.0)
    assert play(data, exact, tmp_path, **bounds).series("power_w")[0] == ("2026-11-19T10:00", 3.0)
    assert play(data, exact, tmp_path, shift=False).series("power_w")[-1] == ("2018-01-07T00:00", 7.0)
    weeks = SIMPLE + "    shift: {end: now, step: 7d}\n"
    assert play(data, weeks, tmp_path).series("power_w")[-1] == ("2026-11-22T00:00", 7.0)  # a Sunday as in 2018
    fixed = SIMPLE + "    shift: {end: 2025-01-07T02:00:00+02:00}\n"
    assert play(data, fixed, tmp_path).series("power_w")[0] == ("2025-01-01T00:00", 1.0)


def test_a_register_goes_on_through_a_cut(tmp_path: Path) -> None:
    data = "m,t,v\na,2026-01-01T00:00,1\na,2026-01-01T01:00,2\na,2026-01-01T02:00,4\n"
    played = play(data, HOURLY, tmp_path, from_us=us("2026-01-01T02:00Z"))
    assert [value for _, value in played.series("energy_kwh")] == [3.0, 7.0]


# --- the inventory


INVENTORY = """
    inventory:
      city: {name: {en: Test, uk: Тест}, latitude: 48.9, longitude: 24.7}
      site: {id: "stand-{id}", kind: stand, name: {en: "{place}", uk: "Бак {id}"}}
      point: {kind: bin, fraction: glass, interval: 1d}
"""


def test_each_device_gets_a_point(tmp_path: Path) -> None:
    mapping = SIMPLE.replace("address: meter", 'address: "Bin_{id}"') + INVENTORY
    played = play(
        't,v,id,place\n2026-01-01,1,X 1,"No: 1, Market"\n2026-01-02,1,X 1,Other\n2026-01-01,1,2,no\n', mapping, tmp_path
    )
    found = Inventory.model_validate(inventory_of(load_mapping(tmp_path / "mapping.yaml"), played.converter.first_rows))
    assert [(site.id, site.name.en, site.name.uk, site.latitude) for site in found.sites] == [
        ("stand-2", "no", "Бак 2", 48.9),
        ("stand-x-1", "No: 1, Market", "Бак X 1", 48.9),
    ]
    (point,) = found.sites[1].points
    assert (point.id, point.kind, point.fraction, point.interval) == ("bin-x1", "bin", "glass", 86_400)
    assert point.devices[0].address == "bin_x1"


def test_what_makes_no_inventory_is_a_sentence(tmp_path: Path) -> None:
    played = play("t,v\n2026-01-01,1\n", SIMPLE, tmp_path)
    with pytest.raises(SimulatorError, match=r"mapping\.yaml has no key inventory"):
        inventory_of(load_mapping(tmp_path / "mapping.yaml"), played.converter.first_rows)
    mapping = SIMPLE.replace("address: meter", 'address: "{id}"') + INVENTORY
    played = play("t,v,id,place\n2026-01-01,1,a_1,x\n2026-01-01,1,a-1,x\n", mapping, tmp_path)
    with pytest.raises(SimulatorError, match="the devices 'a_1' and 'a-1' would both be the point 'a-1'"):
        inventory_of(load_mapping(tmp_path / "mapping.yaml"), played.converter.first_rows)
    (found,) = mistakes(SIMPLE + INVENTORY.replace("fraction: glass, ", ""), tmp_path)
    assert found == "m.yaml:11: inventory.point: a bin needs its fraction, for example fraction: mixed"


def test_every_metric_of_a_shipped_mapping_is_known() -> None:
    for path in shipped_mappings().values():
        for reading in load_mapping(path).spec.readings:
            assert all(value.metric in metrics() for value in reading.values)
