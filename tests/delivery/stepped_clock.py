"""`python stepped_clock.py FILE ARGUMENT …`: misto with a clock that is wrong by what FILE says (seconds)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

_LOOK_EVERY_S = 0.05


def _stepped(file: Path) -> Callable[[], int]:
    true_ns, monotonic = time.time_ns, time.monotonic
    looked, offset_ns = 0.0, 0

    def time_ns() -> int:
        nonlocal looked, offset_ns
        if monotonic() - looked > _LOOK_EVERY_S:
            looked, offset_ns = monotonic(), round(float(file.read_text() or 0) * 1e9)
        return true_ns() + offset_ns

    return time_ns


def main() -> None:
    """Step the clock, then run the command."""
    time_ns = _stepped(Path(sys.argv[1]))
    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    sys.argv = ["misto", *sys.argv[2:]]
    from misto.cli import main as misto

    misto()


if __name__ == "__main__":
    main()
