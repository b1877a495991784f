"""Files of history: what is read of them, and what is said about what is not."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalogue.geometry import BinGeometry
from misto.backfill.errors import BackfillError
from misto.backfill.lines import open_records
from misto.backfill.places import Places
from misto.backfill.records import Refused
from misto.backfill.rejects import RejectFile
from misto.backfill.understand import Understanding
from store.registry import Assignment, RegisteredDevice

KYIV = ZoneInfo("Europe/Kyiv")
SWAP = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
NOW_US = round(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1e6)
YEAR_US = 365 * 86_400_000_000

#: (time, point, metric, value, quality)
Row = tuple[str, int, int, float, int]


def device(number: int, address: str, *assignments: Assignment) -> RegisteredDevice:
    return RegisteredDevice(number, address, None, "claimed", list(assignments))


def always(point: int, channel: str = "", geometry: BinGeometry | None = None) -> Assignment:
    return Assignment(point, channel, -inf, inf, geometry)


def places(**options: Any) -> Places:
    devices = [
        device(1, "meter", always(10)),
        device(2, "old", Assignment(20, "", -inf, SWAP, None)),
        device(3, "two", always(31, "1"), always(32, "2")),
        device(4, "bin", always(40, geometry=BinGeometry(empty_mm=1000, full_mm=0))),
    ]
    return Places(
        {each.address: each for each in devices},
        {"school-electricity": (10, None)},
        oldest_us=NOW_US - 2 * YEAR_US,
        newest_us=NOW_US,
        too_old="too old",
        **options,
    )


def read(path: Path, size: int = 1000, **options: Any) -> tuple[list[Row], list[tuple[int, str]]]:
    """What of a file is stored, and what is refused: (line, reason)."""
    its = places(**options)
    understanding = Understanding(KYIV, its.number)
    file = open_records(path)
    rows: list[Row] = []
    refused: list[tuple[int, str]] = []
    for part in understanding.parts(file.blocks(itertools.repeat(size))):
        batch, nowhere = its.place(part.rows)
        for at, point, metric, value, quality in zip(
            batch.time_us, batch.point_id, batch.metric_id, batch.value, batch.quality, strict=True
        ):
            text = datetime.fromtimestamp(int(at) / 1e6, UTC).strftime("%m-%dT%H:%M")
            rows.append((text, int(point), int(metric), float(value), int(quality)))
        refused += [(one.line, one.reason) for one in [*part.refused, *nowhere]]
    file.close()
    return sorted(rows), sorted(refused)


def csv(tmp_path: Path, text: str, name: str = "history.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


GOOD: list[Row] = [("03-02T10:00", 10, 1, 12.5, 0), ("03-02T10:15", 10, 4, 300.0, 1)]


@pytest.mark.parametrize("name", ["history.csv", "history.csv.gz", "history.CSV"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_csv(tmp_path: Path, name: str, size: int) -> None:
    text = "time,device,metric,value,quality\n2026-03-02T10:00:00Z,METER,energy_kwh,12.5,\n1772446500,meter,power_w,300,estimated\n"
    assert read(csv(tmp_path, text, name), size) == (GOOD, [])


def test_other_separators_columns_in_any_order_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeffvalue;metric;point;time;quality\n12.5;energy_kwh;school-electricity;2026-03-02 10:00+00:00;good\n300;power_w;school-electricity;2026-03-02T12:15;1\n"
    assert read(csv(tmp_path, text)) == (GOOD, [])


@pytest.mark.parametrize("name", ["history.jsonl", "history.ndjson.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    lines = [
        {"time": "2026-03-02T10:00:00Z", "device": "meter", "metric": "energy_kwh", "value": 12.5},
        {"time": 1772446500, "device": "meter", "metric": "power_w", "value": 300, "quality": 1},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n"
    assert read(csv(tmp_path, text, name)) == (GOOD, [])
    broken = text + '{"time": \n\n[1]\n{"time": [1], "device": "meter"}\n'
    rows, refused = read(csv(tmp_path, broken, name))
    assert rows == GOOD
    assert [line for line, _ in refused] == [3, 5, 6]
    assert refused[0][1].startswith("it is no JSON: Expecting value")
    assert refused[1][1] == "it is no JSON object of texts and numbers"


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    times = [datetime(2026, 3, 2, 10, 0, tzinfo=UTC), datetime(2026, 3, 2, 10, 15, tzinfo=UTC)]
    table = {
        "time": arrow.array(times, arrow.timestamp("ns", tz="UTC")), "device": ["meter", "meter"],
        "metric": ["energy_kwh", "power_w"], "value": [12.5, 300.0], "quality": arrow.array([0, 1], arrow.int8()),
    }  # fmt: skip
    path = tmp_path / "history.parquet"
    parquet.write_table(arrow.table(table), path)
    assert read(path, 1) == (GOOD, [])
    path.write_bytes(b"nothing")
    with pytest.raises(BackfillError, match="is no Parquet file"):
        open_records(path)


def test_units_channels_swaps_and_fill_levels(tmp_path: Path) -> None:
    text = """time,device,channel,metric,value,unit
2026-03-02T10:00Z,meter,,energy_kwh,2,MWh
2026-03-02T10:00Z,meter,,temperature_c,50,degF
2026-03-02T10:00Z,two,1,power_w,1,kW
2026-03-02T10:00Z,two,2,power_w,2,kW
2026-01-02T10:00Z,old,,energy_kwh,3,
2026-03-02T10:00Z,old,,energy_kwh,4,
2026-03-02T10:00Z,bin,,distance_mm,25,cm
2026-03-02T10:00Z,meter,,energy_kwh,5,L
2026-03-02T10:00Z,two,3,power_w,2,kW
2026-03-02T10:00Z,meter,,voltage_v,9999,
"""
    rows, refused = read(csv(tmp_path, text))
    assert [(row[1], row[2], round(row[3], 6), row[4]) for row in rows] == [
        (20, 1, 3.0, 0),
        (10, 1, 2000.0, 0),
        (10, 9, 9999.0, 2),
        (10, 40, 10.0, 0),
        (31, 4, 1000.0, 0),
        (32, 4, 2000.0, 0),
        (40, 30, 75.0, 0),
        (40, 31, 250.0, 0),
    ]
    assert refused == [
        (7, "at its time the device was at no point"),
        (9, "the unit 'L' cannot become kWh of energy_kwh"),
        (10, "there is no device 'two/3' in the inventory"),
    ]


def test_every_mistake_has_its_sentence_and_the_rest_is_stored(tmp_path: Path) -> None:
    text = """time,device,metric,value,quality
2026-03-02T10:00:00Z,meter,energy_kwh,12.5,good
2026-13-02T10:00:00Z,meter,energy_kwh,1,good
,meter,energy_kwh,1,good
2026-03-02T11:00:00Z,meter,energy_kwh,abc,good
2026-03-02T11:00:00Z,meter,energy_kwh,"1,5",good
2026-03-02T11:00:00Z,meter,energy_kwh,1_5,good
2026-03-02T11:00:00Z,meter,energy_kwh,nan,good
2026-03-02T11:00:00Z,meter,energy_kwh,,good
2026-03-02T11:00:00Z,meter,energy_kwh,1,fine
2026-03-02T11:00:00Z,nobody,energy_kwh,1,good
2026-03-02T11:00:00Z,meter,energy_kw,1,good
2026-03-02T11:00:00Z,,energy_kwh,1,good
2026-03-02T11:00:00Z,meter,energy_kwh
2030-03-02T11:00:00Z,meter,energy_kwh,1,good
2001-03-02T11:00:00Z,meter,energy_kwh,1,good
2026-03-29T03:30:00,meter,energy_kwh,1,good
1772446500,meter,power_w,300,estimated
"""
    rows, refused = read(csv(tmp_path, text))
    assert rows == GOOD
    no_time = "the time is none; expected for example 2026-11-23T10:15:00Z"
    assert refused == [
        (3, no_time),
        (4, "the time is empty"),
        (5, "the value is no number"),
        (6, "the value is no number"),
        (7, "the value is no finite number"),
        (8, "the value is no finite number"),
        (9, "the value is empty"),
        (10, "the quality is none; expected good, estimated or suspect"),
        (11, "there is no device 'nobody' in the inventory"),
        (12, "there is no metric 'energy_kw' in the catalogue; did you mean energy_kwh?"),
        (13, "it names no device and no point"),
        (14, "it has another number of cells than the 5 of the header"),
        (15, "the time lies in the future"),
        (16, "too old"),
        (17, "the time does not exist in Europe/Kyiv, the clocks skipped it"),
    ]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_hour_that_autumn_repeats(tmp_path: Path, size: int) -> None:
    """Told apart for each series by the order of its records, wherever a block ends."""
    texts = ["02:30", "03:00", "03:30", "03:00", "03:30", "04:00"]
    text = "time,device,metric,value\n" + "".join(
        f"2025-10-26T{at}:00,{name},energy_kwh,{number}\n"
        for number, at in enumerate(texts)
        for name in ("meter", "bin")
    )
    rows, refused = read(csv(tmp_path, text), size)
    assert refused == []
    for point in (10, 40):
        assert [(row[0][6:], row[3]) for row in rows if row[1] == point] == [
            ("23:30", 0), ("00:00", 1), ("00:30", 2), ("01:00", 3), ("01:30", 4), ("02:00", 5),
        ]  # fmt: skip


def test_unknown_devices_are_claimed_where_that_is_wanted(tmp_path: Path) -> None:
    asked = []

    def claim(address: str, metric: str) -> RegisteredDevice:
        asked.append((address, metric))
        return device(9, address, always(90))

    text = "time,device,metric,value\n2026-03-02T10:00Z,New,power_w,1\n2026-03-02T11:00Z,new,power_w,2\n2026-03-02T11:00Z,new,nothing,2\n"
    rows, refused = read(csv(tmp_path, text), claim=claim)
    assert [(row[1], row[3]) for row in rows] == [(90, 1), (90, 2)]
    assert asked == [("new", "power_w")]
    assert refused == [(4, "there is no metric 'nothing' in the catalogue")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty; expected a header such as time,device,metric,value"),
        ("time,device,value\n", "has no column metric; its columns are time, device, value"),
        ("when,what\n", "has no column time and no column metric and no column value and no column device or point"),
        ("time,time,device,metric,value\n", "has the column time twice"),
    ],
)
def test_files_of_another_shape(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BackfillError, match=told):
        open_records(csv(tmp_path, text))


def test_files_that_are_not_there_or_cut_off(tmp_path: Path) -> None:
    with pytest.raises(BackfillError, match=r"nothing\.csv cannot be read: No such file or directory"):
        open_records(tmp_path / "nothing.csv")
    text = "time,device,metric,value\n" + "".join(
        f"2026-03-02T10:00:00Z,meter,power_w,{number * 7919 % 10007}\n" for number in range(50_000)
    )
    path = csv(tmp_path, text, "history.csv.gz")
    path.write_bytes(path.read_bytes()[:-3000])
    file = open_records(path)
    with pytest.raises(BackfillError, match=r"cannot be read after line \d+: .*; what stands before it is stored"):
        list(file.blocks(itertools.repeat(1000)))
    file.close()


def test_lines_are_told_right_behind_cells_with_line_ends(tmp_path: Path) -> None:
    text = 'time,device,metric,value,note\n2026-03-02T10:00Z,meter,power_w,1,"two\nlines"\n2026-03-02T10:00Z,nobody,power_w,1,\n'
    assert read(csv(tmp_path, text))[1] == [(4, "there is no device 'nobody' in the inventory")]


def test_the_reject_file_goes_on_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    columns = ["time", "device", "line", "reason"]
    first = RejectFile(path, columns, 0)
    assert not path.exists()
    first.write([Refused(2, "one", ["a", "b", "9", "old"])])
    kept = first.length
    first.write([Refused(3, "lost", ["c", "d", "", ""])])
    # The second block was never committed.
    again = RejectFile(path, columns, kept)
    again.write([Refused(4, "two, three", ["e"])])
    assert path.read_text().splitlines() == ["time,device,line,reason", "a,b,2,one", 'e,,4,"two, three"']
    with pytest.raises(BackfillError, match=r"cannot be written: .*give another place with --rejects"):
        RejectFile(tmp_path / "no" / "folder.csv", columns, 0).write([Refused(1, "x", [])])


def test_a_reject_file_can_be_imported_once_it_is_mended(tmp_path: Path) -> None:
    text = "time,device,metric,value,line,reason\n2026-03-02T10:00:00Z,meter,energy_kwh,12.5,7,there was none\n"
    path = csv(tmp_path, text)
    assert read(path) == (GOOD[:1], [])
    file = open_records(path)
    assert list(file.unused) == []
    file.close()
