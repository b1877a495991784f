"""Which bytes became which field: the codec at its usual work, with bytes that note where they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from ingest.codec import Codec, Layout
from ingest.codec.cayenne import walk_cayenne


@dataclass(frozen=True)
class Span:
    """Bytes `start` to before `end` became `field`."""

    start: int
    end: int
    field: str
    value: Any


@dataclass
class Trace:
    """What a codec did: the layout that fitted (empty: none), spans in the order of reading, and what was wrong."""

    layout: str = ""
    spans: list[Span] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def unread(self, length: int) -> list[tuple[int, int]]:
        """Ranges of bytes that became no field: keys, checksums, values that are absent."""
        used = [False] * length
        for span in self.spans:
            used[span.start : span.end] = [True] * (min(span.end, length) - span.start)
        ranges: list[tuple[int, int]] = []
        for at, is_used in enumerate(used):
            if is_used:
                continue
            if ranges and ranges[-1][1] == at:
                ranges[-1] = (ranges[-1][0], at + 1)
            else:
                ranges.append((at, at + 1))
        return ranges


def trace(layouts: Mapping[str, Layout], data: bytes, port: int) -> Trace:
    """Read the bytes as a profile's codec does, and note the way."""
    for name, layout in layouts.items():
        codec = Codec({name: layout})
        if not codec.fits(data, port):
            continue
        result = Trace(name)
        if layout.cayenne is not None:
            result.spans = [Span(*step) for step in walk_cayenne(data, layout.cayenne.names, result.problems)]
            return result
        reads: list[tuple[int, int]] = []
        _, result.problems = codec.decode(_Watched(data, 0, reads), port, _Noting("", reads, result.spans))
        return result
    return Trace(problems=Codec(layouts).decode(data, port)[1])


class _Watched(bytes):
    """Bytes that note in `reads` which of them were cut out."""

    _base: int
    _reads: list[tuple[int, int]]

    def __new__(cls, data: bytes, base: int, reads: list[tuple[int, int]]) -> _Watched:
        self = super().__new__(cls, data)
        self._base, self._reads = base, reads
        return self

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        piece = super().__getitem__(key)
        if not isinstance(key, slice) or key.step is not None:
            return piece
        start, end, _ = key.indices(len(self))
        if end > start:
            self._reads.append((self._base + start, self._base + end))
        return _Watched(bytes(piece), self._base + start, self._reads)


class _Noting(dict[str, Any]):
    """The fields of a message; with each the bytes that were read last before it was set.

    A list takes every byte that was read since the field before it: the keys and values of its item.
    """

    def __init__(self, prefix: str, reads: list[tuple[int, int]], spans: list[Span]) -> None:
        super().__init__()
        self._prefix, self._reads, self._spans = prefix, reads, spans

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._note(name, value, whole=isinstance(value, list))

    def setdefault(self, name: str, default: Any = None) -> Any:
        if isinstance(default, dict):
            if name not in self:
                super().__setitem__(name, _Noting(f"{self._prefix}{name}.", self._reads, self._spans))
        else:
            super().setdefault(name, default)
            self._note(f"{name}.{len(self[name])}", None, whole=True)
        return self[name]

    def _note(self, name: str, value: Any, *, whole: bool) -> None:
        if self._reads:
            start, end = self._reads[-1]
            if whole:
                start, end = min(first for first, _ in self._reads), max(last for _, last in self._reads)
            self._spans.append(Span(start, end, self._prefix + name, value))
            self._reads.clear()
