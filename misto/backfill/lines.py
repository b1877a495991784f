"""Files with a reading a line: CSV, JSON lines (both also .gz) and Parquet, block by block as columns of cells."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from pydantic_core import from_json

from misto.backfill.errors import BackfillError
from misto.backfill.records import Records, Refused

#: What a record may have. `line` and `reason` stand in reject files, which can be imported again.
COLUMNS = ("time", "device", "point", "metric", "value", "unit", "channel", "quality")
_OWN = ("line", "reason")

_EXAMPLE = "time,device,metric,value"


class RecordFile(Protocol):
    """An open file of readings. `columns`: the head of its reject file; `unused`: columns that mean nothing here."""

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def unused(self) -> Sequence[str]: ...

    def blocks(self, sizes: Iterator[int]) -> Iterator[Records]:
        """Blocks with as many records as `sizes` says, until the file's end."""
        ...

    def progress(self) -> float:
        """How far it has been read, from 0 to 1."""
        ...

    def close(self) -> None: ...


def open_records(path: Path) -> RecordFile:
    """Open a file by its name. Raises `BackfillError` if it cannot be read or has not the columns that it needs."""
    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith((".parquet", ".pq")):
            return ParquetRecords(path)
        if name.endswith((".jsonl", ".ndjson", ".json")):
            return JsonRecords(path)
        return CsvRecords(path)
    except OSError as error:
        raise BackfillError(f"{path} cannot be read: {error.strerror or error}") from None


def _check(path: Path, columns: Sequence[str]) -> list[str]:
    """The columns without a meaning. Raises `BackfillError` if needed ones are missing or stand twice."""
    missing = [name for name in ("time", "metric", "value") if name not in columns]
    if not {"device", "point"} & set(columns):
        missing.append("device or point")
    if missing:
        raise BackfillError(
            f"{path} has no column {' and no column '.join(missing)}; its columns are {', '.join(columns)}; expected "
            f"for example {_EXAMPLE}; a file of another shape needs a --mapping"
        )
    twice = next((name for name in COLUMNS if list(columns).count(name) > 1), None)
    if twice is not None:
        raise BackfillError(f"{path} has the column {twice} twice; leave one of them out")
    return [name for name in columns if name not in (*COLUMNS, *_OWN)]


class _TextFile:
    """A text file, plain or .gz, and how far it has been read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw: IO[bytes] = path.open("rb")
        self._size = max(1, path.stat().st_size)
        source: Any = gzip.GzipFile(fileobj=self._raw) if path.name.lower().endswith(".gz") else self._raw
        # What is no UTF-8 becomes a mark in a cell, which is then refused by itself.
        self._text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="replace", newline="")

    def progress(self) -> float:
        try:
            return min(1.0, self._raw.tell() / self._size)
        except ValueError:  # closed
            return 1.0

    def close(self) -> None:
        self._text.close()
        self._raw.close()

    def _cut_off(self, error: Exception, line: int) -> BackfillError:
        return BackfillError(
            f"{self._path} cannot be read after line {line}: {error}; what stands before it is stored; get the file "
            "again and import it"
        )


class CsvRecords(_TextFile):
    """CSV with a header, separated by commas, semicolons or tabs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._read_head(path)
        except BackfillError:
            self.close()
            raise

    def _read_head(self, path: Path) -> None:
        try:
            head = self._text.readline()
        except (OSError, EOFError, zlib.error) as error:
            raise BackfillError(f"{path} cannot be read: {error}") from None
        if not head.strip():
            raise BackfillError(f"{path} is empty; expected a header such as {_EXAMPLE}")
        self._separator = max(",;\t", key=head.count)
        self.columns = [cell.strip().lower() for cell in next(csv.reader([head], delimiter=self._separator))]
        self.unused = _check(path, self.columns)
        self._places = {name: self.columns.index(name) for name in COLUMNS if name in self.columns}

    def blocks(self, sizes: Iterator[int]) -> Iterator[Records]:
        reader = csv.reader(self._text, delimiter=self._separator)
        width = len(self.columns)
        for size in sizes:
            first = reader.line_num + 2
            rows: list[list[str]] = []
            broken: list[Refused] = []
            try:
                for row in islice(reader, size):
                    rows.append(row)
            except csv.Error as error:
                broken.append(Refused(reader.line_num + 1, f"it is no CSV: {error}", []))
            except (OSError, EOFError, zlib.error) as error:
                raise self._cut_off(error, reader.line_num + 1) from None
            if not rows and not broken:
                return
            taken = len(rows) + len(broken)
            lines = first + np.arange(len(rows))
            if reader.line_num + 2 - first != taken:
                # Cells with line ends in them.
                lines = first + np.cumsum([0, *(1 + sum(cell.count("\n") for cell in row) for row in rows[:-1])])
            if any(len(row) != width for row in rows):
                right = [index for index, row in enumerate(rows) if len(row) == width]
                broken += [
                    Refused(int(lines[index]), f"it has another number of cells than the {width} of the header", row)
                    for index, row in enumerate(rows)
                    if row and len(row) != width
                ]
                rows, lines = [rows[index] for index in right], lines[right]
            columns = list(zip(*rows, strict=True)) if rows else [()] * width
            yield Records(lines, {name: columns[at] for name, at in self._places.items()}, rows, taken, broken)


class JsonRecords(_TextFile):
    """An object a line, with the names of the columns as keys."""

    columns = ("text",)
    unused: Sequence[str] = ()

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._line = 0

    def blocks(self, sizes: Iterator[int]) -> Iterator[Records]:
        for size in sizes:
            try:
                texts = list(islice(self._text, size))
            except (OSError, EOFError, zlib.error) as error:
                raise self._cut_off(error, self._line) from None
            if not texts:
                return
            first, self._line = self._line + 1, self._line + len(texts)
            broken: list[Refused] = []
            lines, documents, kept = [], [], []
            for line, text, document in zip(range(first, self._line + 1), texts, _parsed(texts), strict=True):
                if isinstance(document, dict) and not any(type(cell) in (list, dict) for cell in document.values()):
                    lines.append(line)
                    documents.append(document)
                    kept.append([text.rstrip("\r\n")])
                elif text.strip():
                    reason = document if isinstance(document, str) else "it is no JSON object of texts and numbers"
                    broken.append(Refused(line, reason, [text.rstrip("\r\n")]))
            cells: dict[str, Sequence[object]] = {
                name: [document.get(name) for document in documents] for name in COLUMNS
            }
            yield Records(np.array(lines, np.int64), cells, kept, len(texts), broken)


def _parsed(texts: list[str]) -> list[object]:
    """Each line's content; a text says why it has none."""
    try:
        found: list[object] = from_json("[" + ",".join(texts) + "]")
        if len(found) == len(texts):
            return found
    except ValueError:  # one of them is none: look at each
        pass
    result: list[object] = []
    for text in texts:
        try:
            content = json.loads(text) if text.strip() else None
            result.append(content if isinstance(content, dict) else None)
        except ValueError as error:
            result.append(f"it is no JSON: {error}")
    return result


class ParquetRecords:
    """Parquet; times may be timestamps, text or numbers."""

    def __init__(self, path: Path) -> None:
        try:
            self._arrow: Any = import_module("pyarrow")
            parquet: Any = import_module("pyarrow.parquet")
        except ImportError:
            raise BackfillError("Parquet needs pyarrow; install it with: pip install 'misto[parquet]'") from None
        invalid: type[Exception] = self._arrow.ArrowInvalid
        try:
            self._file = parquet.ParquetFile(path)
        except invalid as error:
            raise BackfillError(f"{path} is no Parquet file: {error}") from None
        names = list(self._file.schema_arrow.names)
        self.columns = [name.lower() for name in names]
        self.unused = _check(path, self.columns)
        self._names = {name: names[self.columns.index(name)] for name in COLUMNS if name in self.columns}
        self._rows: int = max(1, self._file.metadata.num_rows)
        self._done = 0

    def blocks(self, sizes: Iterator[int]) -> Iterator[Records]:
        batches = self._file.iter_batches(batch_size=65_536)
        rest: Any = None
        for size in sizes:
            parts, count = [], 0
            while count < size:
                batch = rest if rest is not None else next(batches, None)
                rest = None
                if batch is None:
                    break
                parts.append(batch.slice(0, size - count))
                if batch.num_rows > size - count:
                    rest = batch.slice(size - count)
                count += parts[-1].num_rows
            if not count:
                return
            table = self._arrow.Table.from_batches(parts)
            lines = self._done + 1 + np.arange(count)
            self._done += count
            cells = {name: self._cells(table.column(own)) for name, own in self._names.items()}
            yield Records(lines, cells, _Texts(table), count)

    def _cells(self, column: Any) -> Sequence[object]:
        if self._arrow.types.is_timestamp(column.type):
            # Python's times have no nanoseconds.
            column = column.cast(self._arrow.timestamp("us", tz=column.type.tz), safe=False)
        cells: list[object] = column.to_pylist()
        return cells

    def progress(self) -> float:
        return self._done / self._rows

    def close(self) -> None:
        self._file.close()


class _Texts(Sequence[Sequence[object]]):
    """The rows of a table, made when they are asked for."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        count: int = self._table.num_rows
        return count

    def __getitem__(self, index: Any) -> Any:
        return [column[int(index)].as_py() for column in self._table.columns]
