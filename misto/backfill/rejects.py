"""The reject file: every record that was not stored, as it stood in its file, with its line and the reason."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from misto.backfill.errors import BackfillError
from misto.backfill.records import Refused


class RejectFile:
    """CSV with the columns of the file, `line` and `reason`. It appears with the first record that is refused."""

    def __init__(self, path: Path, columns: Sequence[str], length: int) -> None:
        """Go on behind the first `length` bytes: what lies behind them belongs to blocks that were not stored."""
        self.path = path
        self.length = length
        self._width = len(columns)
        self._head = [*(name for name in columns if name not in ("line", "reason")), "line", "reason"]
        self._kept = [index for index, name in enumerate(columns) if name not in ("line", "reason")]
        if not length:
            return
        try:
            with path.open("r+b") as file:
                if file.seek(0, io.SEEK_END) > length:
                    file.truncate(length)
                self.length = min(length, file.seek(0, io.SEEK_END))
        except FileNotFoundError:
            self.length = 0
        except OSError as error:
            raise self._unwritable(error) from None

    def write(self, refused: Sequence[Refused]) -> None:
        """Append; when it returns, the file is safely on the disk."""
        if not refused:
            return
        text = io.StringIO()
        writer = csv.writer(text)
        if not self.length:
            writer.writerow(self._head)
        for one in refused:
            cells = list(one.cells)
            if len(cells) == self._width:
                cells = [cells[index] for index in self._kept]
            # A broken record has as many cells as it has.
            cells += [""] * (len(self._kept) - len(cells))
            writer.writerow([*cells, one.line, one.reason])
        try:
            with self.path.open("wb" if not self.length else "ab") as file:
                file.write(text.getvalue().encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
                self.length = file.tell()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> BackfillError:
        return BackfillError(
            f"{self.path} cannot be written: {error.strerror}; records that are not stored go there, so give another "
            "place with --rejects"
        )
