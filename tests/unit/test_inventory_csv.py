"""The inventory as a table: as spreadsheets write it, the same city as in YAML, every mistake with its place."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from catalogue.errors import FileProblems
from catalogue.inventory import Inventory, read_inventory
from catalogue.inventory_csv import COLUMNS, read_inventory_files

ROOT = Path(__file__).parents[2]

CITY = """\
version: 1
city: {name: {en: Town, uk: Місто}, time_zone: Europe/Kyiv, latitude: 48.9, longitude: 24.7}
zones: [{id: centre, name: {en: Centre, uk: Центр}}]
contractors: [{id: clean, name: {en: Clean, uk: Чисто}}]
"""
YARD = """\
sites:
  - {id: yard, kind: stand, name: {en: Yard, uk: Двір}, latitude: 48.9, longitude: 24.7}
"""

HEAD = "site;site_name_en;site_name_uk;address;zone;latitude;longitude;point;kind;fraction;contractor;interval;empty_mm;full_mm;device;profile"
ROWS = [
    "stand-1;Stand;Майданчик;вул. Миру, 1;centre;48,9201;24,714;stand-1-glass;bin;glass;clean;30m;1 500,5;300;24E1 2471;milesight-em400-mud",
    "stand-1;;;;;;;stand-1-paper;bin;paper;clean;30m;1500;300;24e12472;milesight-em400-mud",
    "school;School;Школа;;centre;48,93;24,72;school-water;Water;;;15m;;;m-1;",
]


def read(tmp_path: Path, table: str | bytes, city: str | None = CITY) -> Inventory:
    points = tmp_path / "points.csv"
    points.write_bytes(table if isinstance(table, bytes) else table.encode())
    if city is None:
        return read_inventory_files(None, points)
    file = tmp_path / "city.yaml"
    file.write_text(city, encoding="utf-8")
    return read_inventory_files(file, points)


def wrong(tmp_path: Path, table: str | bytes, city: str | None = CITY) -> list[str]:
    """The problems, without the files' folder."""
    with pytest.raises(FileProblems) as caught:
        read(tmp_path, table, city)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def table(*rows: str, head: str = HEAD) -> str:
    return "\r\n".join([head, *rows]) + "\r\n"


def test_a_table_is_the_same_city_as_the_yaml_file(tmp_path: Path) -> None:
    whole = tmp_path / "whole.yaml"
    whole.write_text(
        CITY
        + """\
sites:
  - id: stand-1
    kind: stand
    name: {en: Stand, uk: Майданчик}
    address: {en: "вул. Миру, 1", uk: "вул. Миру, 1"}
    zone: centre
    latitude: 48.9201
    longitude: 24.714
    points:
      - {id: stand-1-glass, kind: bin, fraction: glass, contractor: clean, interval: 30m,
         bin: {empty_mm: 1500.5, full_mm: 300}, devices: [{address: "24e12471", profile: milesight-em400-mud}]}
      - {id: stand-1-paper, kind: bin, fraction: paper, contractor: clean, interval: 30m,
         bin: {empty_mm: 1500, full_mm: 300}, devices: [{address: "24e12472", profile: milesight-em400-mud}]}
  - id: school
    kind: building
    name: {en: School, uk: Школа}
    zone: centre
    latitude: 48.93
    longitude: 24.72
    points: [{id: school-water, kind: water, interval: 15m, devices: [{address: m-1}]}]
""",
        encoding="utf-8",
    )
    assert read(tmp_path, table(*ROWS)) == read_inventory(whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\r\n", "\n").encode(),
        lambda text: b"sep=;\r\n" + text.encode(),
        lambda text: ("\r\n;;;\r\n" + text + ";;;;\r\n\r\n").encode(),
        lambda text: text.replace(";", "\t").encode(),
        lambda text: text.replace("вул. Миру, 1", "x").replace(",", ".").replace(";", ",").encode(),
        lambda text: text.replace(";", '";"').replace("\r\n", '"\r\n"')[:-1].join(['"', ""]).encode(),
        lambda text: text.replace("site;", "SITE ;").encode(),
        lambda text: text.replace("1 500,5", "1\N{NO-BREAK SPACE}500,5").encode(),
    ],
    ids=["mark", "newline", "sep", "empty lines", "tabs", "commas", "quotes", "header", "hard blank"],
)
def test_as_spreadsheets_write_it(tmp_path: Path, change: object) -> None:
    expected = read(tmp_path, table(*ROWS)).sites
    found = read(tmp_path, change(table(*ROWS))).sites  # type: ignore[operator]
    assert [site.points for site in found] == [site.points for site in expected]
    assert [(site.latitude, site.name) for site in found] == [(site.latitude, site.name) for site in expected]


def test_rows_may_add_to_sites_of_the_yaml_file(tmp_path: Path) -> None:
    found = read(tmp_path, table("yard;;;;;;;yard-bio;bin;bio;;;1200;;b-1;", *ROWS), CITY + YARD)
    assert [(site.id, len(site.points)) for site in found.sites] == [("yard", 1), ("stand-1", 2), ("school", 1)]


def test_one_name_is_for_both_languages_and_the_narrower_wins(tmp_path: Path) -> None:
    head = "site;site_name;site_name_uk;latitude;longitude;label:Floor;site_label:owner;point;kind"
    (site,) = read(tmp_path, table("a;School;Школа;1;2;-1;city;a-gas;gas", "a;;;;;;;a-heat;heat", head=head)).sites
    assert (site.name.en, site.name.uk) == ("School", "Школа")
    assert site.labels == {"owner": "city"}
    assert [point.labels for point in site.points] == [{"Floor": "-1"}, {}]


def test_several_rows_of_a_point_are_its_devices_in_the_citys_time(tmp_path: Path) -> None:
    head = "site;site_name;latitude;longitude;point;kind;device;valid_from;valid_to;register_start;register_end"
    (site,) = read(
        tmp_path,
        table(
            "a;A;1;2;a-gas;gas;old;;01.03.2026 12:00;;48213,7",
            "a;;;;a-gas;;new;2026-03-01 12:00;;0,3;",
            "a;;;;a-heat;heat;h;2026-07-01;;;",
            head=head,
        ),
    ).sites
    old, new = site.points[0].devices
    assert old.valid_to == new.valid_from == datetime.fromisoformat("2026-03-01T12:00:00+02:00")
    assert (old.register_end, new.register_start) == (48213.7, 0.3)
    assert site.points[1].devices[0].valid_from == datetime.fromisoformat("2026-07-01T00:00:00+03:00")


def test_every_mistake_stands_with_line_and_column(tmp_path: Path) -> None:
    rows = [
        "stand-1;Stand;;;west;48,92x;24,714;stand-1-glass;bin;;dirty;30;1500;1600;dev;",
        'stand-1;Other;;;;;;"stand-1-\npaper";bin;paper;;;;;;',
        ";;;;;;;lost;gas;;;;;;;",
        "school;School;;;;;24,7;school-gas;gaz;;;;;;dev-9;",
        "school;;;;;;;;water;;;;;;;",
        "third;;;;;1;2;school-gas;gas;;;;;;;",
    ]
    problems = wrong(tmp_path, table(*rows))
    assert problems == [
        "points.csv:2: column F (latitude): Input should be a valid number, unable to parse string as a number (it is '48,92x')",
        "points.csv:2: column L (interval): must be a number with a unit s, m, h or d, for example 15m (it is '30')",
        "points.csv:2: column M (empty_mm): full_mm must be smaller than empty_mm: the sensor looks down from the lid",
        "points.csv:3: column B (site_name_en): is 'Stand' on line 2, and 'Other' here",
        "points.csv:3: column H (point): String should match pattern '^[a-z0-9][a-z0-9-]{0,62}$' (it is 'stand-1-\\npaper')",
        "points.csv:5: column A (site): is missing",
        "points.csv:6: column F (latitude): is missing",
        "points.csv:6: column I (kind): Input should be 'electricity', 'heat', 'gas', 'water', 'bin', 'weather' or 'indoor' (it is 'gaz'); did you mean gas?",
        "points.csv:7: column I (kind): belongs to a point, but the row has none in the column point",
        "points.csv:8: column H (point): the point 'school-gas' stands at the site 'school' too",
        "points.csv:8: column B (site_name_en): is missing",
    ]


def test_what_only_the_whole_city_shows(tmp_path: Path) -> None:
    rows = [
        "stand-1;Stand;;;west;48,92;24,714;stand-1-glass;bin;;dirty;;1500;;dev;",
        "stand-1;;;;;;;stand-1-paper;bin;paper;;;;;DEV;",
        "yard;Yard;;;;;;stand-1-glass-2;bin;bio;;;;;;",
    ]
    assert wrong(tmp_path, table(*rows), CITY + YARD) == [
        "points.csv:2: column E (zone): there is no zone 'west' under zones",
        "points.csv:2: column J (fraction): a bin needs its fraction",
        "points.csv:2: column K (contractor): there is no contractor 'dirty' under contractors",
        "points.csv:3: column O (device): the device 'dev' is assigned twice at the same time (also at stand-1-glass)",
        "points.csv:4: column B (site_name_en): the site stands in the YAML file; leave its columns empty here",
    ]


def test_mistakes_of_both_files_are_told_together(tmp_path: Path) -> None:
    city = CITY.replace("longitude: 24.7", "longitude: 999")
    assert [problem.split(": ")[0] for problem in wrong(tmp_path, table(ROWS[2].replace("24,72", "x")), city)] == [
        "city.yaml:2", "points.csv:2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "points.csv: is empty: its first line names the columns"),
        (";;;\n\n", "points.csv: is empty: its first line names the columns"),
        ("site;kind\n", "points.csv: has no rows"),
        ("site;size\na;b\n", "points.csv:1: column B (size): is not a known column; there are site, "),
        ("site;site\na;b\n", "points.csv:1: column B (site): stands twice"),
        ("kind\ngas\n", "points.csv:1: site: the column is missing"),
        ("site;kind\na;gas;;x\n", "points.csv:2: column D: stands beyond the last named column"),
        ('site;kind\n"a;gas\n', "points.csv:2: is no CSV: "),
        ('site;kind\n\n"a"b;gas\n', "points.csv:3: is no CSV: "),
        ("site;name\na;Школа\n".encode("cp1251"), "points.csv:2: is not UTF-8 text; save it as “CSV UTF-8”"),
        ("site;kind\n".encode("utf-16"), "points.csv:1: is not UTF-8 text"),
        (b"site;kind\na\0;gas\n", "points.csv: has zero characters"),
    ],
)
def test_what_is_no_table_is_a_sentence(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert wrong(tmp_path, content)[0].startswith(message)


def test_a_table_alone_takes_zones_and_contractors_for_granted(tmp_path: Path) -> None:
    assert len(read(tmp_path, table(*ROWS).replace("centre", "west"), None).sites) == 2
    with pytest.raises(FileProblems, match=r"cannot be read"):
        read_inventory_files(None, tmp_path / "none.csv")


def test_the_documentation_lists_every_column() -> None:
    page = (ROOT / "docs" / "inventory.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"`{column}`" in page
