"""A recorded file, row by row: CSV (also .gz) with the standard library, Parquet with pyarrow."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from simulators.errors import SimulatorError
from simulators.replay.mapping import FileFormat

#: (number of the line or row from 1, its cells)
Row = tuple[int, Sequence[object]]

_MANY_ROWS = 65_536


@dataclass(frozen=True)
class Table:
    """An open file: its columns, and its rows once."""

    columns: list[str]
    rows: Iterator[Row]


def file_stem(path: Path) -> str:
    """The file's name without .csv, .csv.gz or .parquet."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def is_parquet(path: Path, spec: FileFormat) -> bool:
    """Whether the file is Parquet: by the mapping, else by its name."""
    return spec.format == "parquet" if spec.format else path.suffix.lower() in (".parquet", ".pq")


@contextmanager
def open_table(path: Path, spec: FileFormat) -> Iterator[Table]:
    """Open a recorded file. Raises `SimulatorError` if it is missing, empty, or not written as `spec` says."""
    try:
        if is_parquet(path, spec):
            with _open_parquet(path) as table:
                yield table
        else:
            with _open_binary(path) as raw, io.TextIOWrapper(raw, encoding=spec.encoding, newline="") as text:
                yield _csv_table(path, text, spec)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SimulatorError(f"{path} cannot be read: {reason}") from None


def _open_binary(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.GzipFile(path))
    return path.open("rb")


def _csv_table(path: Path, text: IO[str], spec: FileFormat) -> Table:
    rows = _csv_rows(path, text, spec)
    columns = spec.columns
    if columns is None:
        header = next(rows, None)
        if header is None:
            raise SimulatorError(f"{path} is empty; expected a header and rows")
        columns = [str(cell).strip() for cell in header[1]]
    return Table(columns, rows)


def _csv_rows(path: Path, text: IO[str], spec: FileFormat) -> Iterator[Row]:
    number = 0
    try:
        for _ in range(spec.skip_lines):
            text.readline()
        lines = csv.reader(text, delimiter=spec.separator, skipinitialspace=spec.separator == " ")
        for cells in lines:
            number = spec.skip_lines + lines.line_num
            if cells:
                yield number, cells
    except csv.Error as error:
        raise SimulatorError(f"{path}: after line {number} it is no CSV: {error}") from None
    except UnicodeDecodeError:
        raise SimulatorError(
            f"{path}: after line {number} there is text that is not {spec.encoding.removesuffix('-sig')}; "
            "give file.encoding in the mapping, for example encoding: windows-1251"
        ) from None


@contextmanager
def _open_parquet(path: Path) -> Iterator[Table]:
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise SimulatorError("reading Parquet needs pyarrow; install it with: pip install 'misto[parquet]'") from None
    invalid: type[Exception] = arrow.ArrowInvalid
    try:
        file = parquet.ParquetFile(path)
    except invalid as error:
        raise SimulatorError(f"{path} is no Parquet file: {error}") from None
    with file:
        yield Table(list(file.schema_arrow.names), _parquet_rows(arrow, file))


def _parquet_rows(arrow: Any, file: Any) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(batch_size=_MANY_ROWS):
        columns = []
        for column in batch.columns:
            if arrow.types.is_timestamp(column.type):
                # Python's times have no nanoseconds.
                column = column.cast(arrow.timestamp("us", tz=column.type.tz), safe=False)
            columns.append(column.to_pylist())
        for cells in zip(*columns, strict=True):
            number += 1
            yield number, cells
