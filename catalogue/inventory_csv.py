"""The inventory as a table: one row a point, as a spreadsheet writes it (docs/inventory.md lists the columns).

UTF-8 with or without byte order mark; semicolons, commas or tabs; decimal comma or point. The rows become the same
tree as the YAML file's and are checked by the same rules, every mistake with its line and its column.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from catalogue.errors import FileProblems, Problem
from catalogue.inventory import Inventory, cross_problems
from catalogue.yamlfile import Document, Location, read_yaml, validate

_DAY_FIRST = re.compile(r"^(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?$")
_NUMBER = re.compile(r"^[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
_LABEL = re.compile(r"^(site_)?label:(.+)$")


def _number(text: str) -> Any:
    bare = "".join(text.split())  # also the spaces between thousands, which do not break
    return float(bare.replace(",", ".")) if _NUMBER.match(bare) else text


def _whole(text: str) -> Any:
    value = _number(text)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _lower(text: str) -> Any:
    return text.lower()


def _text(text: str) -> Any:
    return text


@dataclass(frozen=True)
class _Column:
    """Where a column's cells go: `part` is site, point or device, `keys` the place in its tree (two for two languages).

    `read` makes a value of a text; what it cannot read it returns as it is, for the check to complain of.
    """

    part: str
    keys: tuple[tuple[str, ...], ...]
    read: Callable[[str], Any] = _text


_BOTH = {"name", "address"}
_COLUMNS: dict[str, _Column] = {
    "site": _Column("site", (("id",),)),
    "site_kind": _Column("site", (("kind",),), _lower),
    "site_name": _Column("site", (("name", "en"), ("name", "uk"))),
    "site_name_en": _Column("site", (("name", "en"),)),
    "site_name_uk": _Column("site", (("name", "uk"),)),
    "use": _Column("site", (("use",),), _lower),
    "address": _Column("site", (("address", "en"), ("address", "uk"))),
    "address_en": _Column("site", (("address", "en"),)),
    "address_uk": _Column("site", (("address", "uk"),)),
    "zone": _Column("site", (("zone",),)),
    "latitude": _Column("site", (("latitude",),), _number),
    "longitude": _Column("site", (("longitude",),), _number),
    "floor_area_m2": _Column("site", (("floor_area_m2",),), _number),
    "point": _Column("point", (("id",),)),
    "kind": _Column("point", (("kind",),), _lower),
    "point_name": _Column("point", (("name", "en"), ("name", "uk"))),
    "point_name_en": _Column("point", (("name", "en"),)),
    "point_name_uk": _Column("point", (("name", "uk"),)),
    "interval": _Column("point", (("interval",),)),
    "fraction": _Column("point", (("fraction",),), _lower),
    "contractor": _Column("point", (("contractor",),)),
    "empty_mm": _Column("point", (("bin", "empty_mm"),), _number),
    "full_mm": _Column("point", (("bin", "full_mm"),), _number),
    "volume_l": _Column("point", (("bin", "volume_l"),), _number),
    "blind_mm": _Column("point", (("bin", "blind_mm"),), _number),
    "shape": _Column("point", (("bin", "shape"),), _lower),
    "floor_width_pct": _Column("point", (("bin", "floor_width_pct"),), _number),
    "register_digits": _Column("point", (("register_digits",),), _whole),
    "device": _Column("device", (("address",),)),
    "profile": _Column("device", (("profile",),)),
    "channel": _Column("device", (("channel",),)),
    "valid_from": _Column("device", (("valid_from",),)),
    "valid_to": _Column("device", (("valid_to",),)),
    "register_start": _Column("device", (("register_start",),), _number),
    "register_end": _Column("device", (("register_end",),), _number),
}

#: The columns that a table may have, besides `label:…` and `site_label:…`.
COLUMNS: tuple[str, ...] = tuple(_COLUMNS)


_NOWHERE = {"version": 1, "city": {"name": {"en": "", "uk": ""}, "latitude": 0, "longitude": 0}}


class _Tree(Document):
    """The city's tree: what a YAML file (or the database) gives, and below `sites` what the table gives."""

    def __init__(self, base: Document, table: str) -> None:
        self.name = table
        self.data = dict(base.data) if isinstance(base.data, dict) else {}
        self._base = base
        self._table = table
        self.cells: dict[Location, tuple[int, str]] = {}  # location → line, column
        self.header: dict[str, int] = {}

    def line_of(self, location: Location) -> int | None:
        cell = self._cell(location)
        return cell[0] if cell is not None else self._base.line_of(location)

    def problem(self, location: Location, message: str) -> Problem:
        cell = self._cell(location)
        if cell is None:
            return self._base.problem(location, message)
        line, column = cell
        if location not in self.cells:
            column = _column_of(location) or column
        return Problem(self._table, line, self.place(column), message)

    def place(self, column: str) -> str:
        """A column as the spreadsheet calls it: `column C (latitude)`."""
        number = self.header.get(column)
        return f"column {_letters(number)} ({column})" if number is not None else f"column {column}"

    def _cell(self, location: Location) -> tuple[int, str] | None:
        for length in range(len(location), 0, -1):
            cell = self.cells.get(location[:length])
            if cell is not None:
                return cell
        return None


def _column_of(location: Location) -> str | None:
    """The column that a part of the tree would come from: for what is missing."""
    names = [step for step in location if isinstance(step, str)]
    part = {"sites": "site", "points": "point", "devices": "device"}[
        [name for name in names if name in ("sites", "points", "devices")][-1]
    ]
    inside = tuple(location[max(i for i, step in enumerate(location) if isinstance(step, int)) + 1 :])
    for column, its in _COLUMNS.items():
        if its.part == part and len(its.keys) == 1 and its.keys[0][: len(inside)] == inside and inside:
            return column
    return None


def _letters(number: int) -> str:
    text = ""
    while number >= 0:
        text = chr(ord("A") + number % 26) + text
        number = number // 26 - 1
    return text


def read_inventory_files(city: Path | None, points: Path, base: Inventory | None = None) -> Inventory:
    """The city of a YAML file with the points of a table. Raises `FileProblems` with every mistake of both at once.

    Without a YAML file city, zones, contractors and tariffs are those of `base`; its sites are not taken over. With
    neither the table is checked alone: its zones and contractors are taken for granted.
    """
    if city is not None:
        document = read_yaml(city)
    else:
        document = Document(str(points), base.model_dump(exclude={"sites"}) if base is not None else _NOWHERE)
    rows, header_problems, header = _rows(points)
    if header_problems:
        raise FileProblems(header_problems)
    tree = _Tree(document, str(points))
    tree.header = header
    if city is None and base is None:
        for group, column in (("zones", "zone"), ("contractors", "contractor")):
            named = sorted({cells[column] for _, cells in rows if cells.get(column)})
            tree.data[group] = [{"id": name, "name": {"en": name, "uk": name}} for name in named]
    problems = _Builder(tree).build(rows)
    try:
        inventory = validate(tree, Inventory)
    except FileProblems as error:
        raise FileProblems([*problems, *error.problems]) from None
    problems += cross_problems(tree, inventory)
    if problems:
        raise FileProblems(problems)
    return inventory


def _rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[Problem], dict[str, int]]:
    """Line and cells by column of each row that is not empty, what is wrong with the header, and the header."""
    name = str(path)

    def whole(message: str, line: int | None = None) -> FileProblems:
        return FileProblems([Problem(name, line, "", message)])

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise whole(f"cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise whole("is not UTF-8 text; save it as “CSV UTF-8”", line) from None
    if "\0" in text:
        raise whole("has zero characters; save it as “CSV UTF-8”")
    lines = text.splitlines(keepends=True)
    skipped = 0
    delimiter = None
    if lines and lines[0].lower().startswith("sep="):
        delimiter, skipped = lines[0].strip()[4:5] or None, 1
    while skipped < len(lines) and not lines[skipped].strip(" ;,\t\r\n"):
        skipped += 1
    if skipped == len(lines):
        raise whole("is empty: its first line names the columns")
    head = lines[skipped]
    delimiter = delimiter or max(";,\t", key=head.count)
    reader = csv.reader(io.StringIO("".join(lines[skipped:]), newline=""), delimiter=delimiter, strict=True)
    header: dict[str, int] = {}
    problems: list[Problem] = []
    rows: list[tuple[int, dict[str, str]]] = []
    names: list[str] = []
    start = skipped + 1
    try:
        for cells in reader:
            if not names:
                names = [cell.strip() if _LABEL.match(cell.strip()) else cell.strip().lower() for cell in cells]
                problems = list(_header_problems(name, start, names, header))
            elif any(cell.strip() for cell in cells):
                for index, cell in enumerate(cells[len(names) :], len(names)):
                    if cell.strip():
                        where = f"column {_letters(index)}"
                        problems.append(Problem(name, start, where, "stands beyond the last named column"))
                rows.append((start, {each: cell.strip() for each, cell in zip(names, cells, strict=False) if each}))
            start = skipped + reader.line_num + 1
    except csv.Error as error:
        raise whole(f"is no CSV: {error}", start) from None
    if not rows and not problems:
        raise whole("has no rows")
    return rows, problems, header


def _header_problems(name: str, line: int, names: Sequence[str], header: dict[str, int]) -> Iterator[Problem]:
    for index, column in enumerate(names):
        if not column:
            continue
        place = f"column {_letters(index)} ({column})"
        if column in header:
            yield Problem(name, line, place, "stands twice")
        elif column not in _COLUMNS and not _LABEL.match(column):
            yield Problem(name, line, place, f"is not a known column; there are {', '.join(COLUMNS)}, label:…")
        header.setdefault(column, index)
    if "site" not in header:
        yield Problem(name, line, "site", "the column is missing")


class _Builder:
    """Puts rows into a tree: sites by their id, points by theirs, a device for each row that names one."""

    def __init__(self, tree: _Tree) -> None:
        self._tree = tree
        self._problems: list[Problem] = []
        sites = tree.data.get("sites")
        self._sites: list[Any] = [
            {**site, "points": list(site.get("points") or [])} if isinstance(site, dict) else site
            for site in (sites if isinstance(sites, list) else [])
        ]
        tree.data["sites"] = self._sites
        self._from_yaml = len(self._sites)
        self._site_of = {
            site["id"]: index for index, site in enumerate(self._sites) if isinstance(site, dict) and "id" in site
        }
        self._point_of: dict[str, tuple[int, int]] = {}
        self._zone = _zone_of(tree.data)

    def build(self, rows: Sequence[tuple[int, dict[str, str]]]) -> list[Problem]:
        """Take over the rows; returns what is wrong beside what the tree's check finds."""
        for line, cells in rows:
            self._row(line, cells)
        for index in range(self._from_yaml, len(self._sites)):
            site = self._sites[index]
            if "kind" not in site:
                kinds = {point.get("kind") for point in site["points"]}
                site["kind"] = "stand" if kinds == {"bin"} else "building"
        return self._problems

    def _row(self, line: int, cells: Mapping[str, str]) -> None:
        site_id = cells.get("site", "")
        if not site_id:
            self._wrong(line, "site", "is missing")
            return
        index = self._site_of.get(site_id)
        if index is None:
            index = self._site_of[site_id] = len(self._sites)
            self._sites.append({"id": site_id, "points": []})
            self._tree.cells[("sites", index)] = (line, "site")
        elif index < self._from_yaml:
            for column in [name for name, text in cells.items() if text and self._part(name) == "site"]:
                if column != "site":
                    self._wrong(line, column, "the site stands in the YAML file; leave its columns empty here")
            cells = {name: text for name, text in cells.items() if self._part(name) != "site"}
        self._fill(self._sites[index], ("sites", index), "site", line, cells)
        point_id = cells.get("point", "")
        if not point_id:
            for column in [name for name, text in cells.items() if text and self._part(name) != "site"]:
                self._wrong(line, column, "belongs to a point, but the row has none in the column point")
            return
        known = self._point_of.get(point_id)
        if known is None:
            points = self._sites[index]["points"]
            known = self._point_of[point_id] = (index, len(points))
            points.append({"devices": []})
            self._tree.cells[("sites", index, "points", known[1])] = (line, "point")
        elif known[0] != index:
            self._wrong(line, "point", f"the point {point_id!r} stands at the site {self._sites[known[0]]['id']!r} too")
            return
        point = self._sites[index]["points"][known[1]]
        place: Location = ("sites", index, "points", known[1])
        self._fill(point, place, "point", line, cells)
        if any(text for name, text in cells.items() if self._part(name) == "device"):
            entry: dict[str, Any] = {}
            there = (*place, "devices", len(point["devices"]))
            point["devices"].append(entry)
            self._tree.cells[there] = (line, "device")
            self._fill(entry, there, "device", line, cells)

    def _part(self, column: str) -> str:
        label = _LABEL.match(column)
        if label is not None:
            return "site" if label[1] else "point"
        return _COLUMNS[column].part

    def _fill(self, node: dict[str, Any], place: Location, part: str, line: int, cells: Mapping[str, str]) -> None:
        """Put a row's cells into a site, point or device; what another row has said of it already must be the same."""
        for column, text in cells.items():
            if not text or self._part(column) != part:
                continue
            label = _LABEL.match(column)
            if label is not None:
                self._put(node, place, ("labels", label[2]), text, line, column)
                continue
            its = _COLUMNS[column]
            value = self._moment(text) if column in ("valid_from", "valid_to") else its.read(text)
            for keys in its.keys:
                if len(its.keys) == 1 or not any(cells.get(other) for other in _narrower(column, keys)):
                    self._put(node, place, keys, value, line, column)
        for key in _BOTH & node.keys():
            both = node[key]
            if isinstance(both, dict):
                # One language will do for both.
                for here, there in (("en", "uk"), ("uk", "en")):
                    both.setdefault(here, both.get(there))

    def _put(
        self, node: dict[str, Any], place: Location, keys: tuple[str, ...], value: Any, line: int, column: str
    ) -> None:
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        location = (*place, *keys)
        known = self._tree.cells.get(location)
        if known is not None and node.get(keys[-1]) != value:
            if known[0] != line:
                self._wrong(line, column, f"is {node[keys[-1]]!r} on line {known[0]}, and {value!r} here")
            return
        node[keys[-1]] = value
        self._tree.cells[location] = (line, column)

    def _moment(self, text: str) -> Any:
        """A moment with its zone; without one it is the city's time. What is no moment stays text."""
        found = _DAY_FIRST.match(text)
        try:
            if found is not None:
                day, month, year, hour, minute, second = (int(part or 0) for part in found.groups())
                moment = datetime(year, month, day, hour, minute, second, tzinfo=self._zone)
            else:
                moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone)

    def _wrong(self, line: int, column: str, message: str) -> None:
        self._problems.append(Problem(self._tree.name, line, self._tree.place(column), message))


def _narrower(column: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that fill the same place for one language: they win over the one for both."""
    return tuple(
        other for other, its in _COLUMNS.items() if other != column and its.keys == (keys,)
        and its.part == _COLUMNS[column].part
    )  # fmt: skip


def _zone_of(data: Mapping[str, Any]) -> ZoneInfo:
    city = data.get("city")
    name = city.get("time_zone") if isinstance(city, dict) else None
    return ZoneInfo(name if name in available_timezones() else "Europe/Kyiv")
