"""Names that a person may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def hint(name: str, known: Iterable[str]) -> str:
    """`; did you mean a or b?`, or nothing if none is near."""
    near = difflib.get_close_matches(name, sorted(known), 3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
