"""Paths to fields within a message: `ENERGY.Voltage.0`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Step = str | int
Path = tuple[Step, ...]


def path_of(name: str) -> Path:
    """The steps of a dotted name; numbers are places in a list, or keys."""
    return tuple(_step(step) for step in name.split("."))


def _step(text: str) -> Step:
    # Not every digit of Unicode is one that int() reads.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text


def get(fields: Any, path: Path) -> Any:
    """The value there, or None."""
    node = fields
    for step in path:
        if isinstance(node, dict):
            node = node.get(step if step in node else str(step))
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            return None
    return node


class Paths:
    """Many paths, read from a message at once: what they have in common is walked once."""

    def __init__(self) -> None:
        self._places: dict[Path, int] = {(): 0}
        self._steps: list[tuple[int, Step]] = []

    def place(self, path: Path) -> int:
        """Where the value of this path stands in what `read` returns."""
        known = self._places.get(path)
        if known is None:
            self._steps.append((self.place(path[:-1]), path[-1]))
            known = self._places[path] = len(self._steps)
        return known

    def read(self, fields: Any) -> list[Any]:
        """The values of all paths, as `get` finds them, by their places."""
        found = [fields]
        add = found.append
        for before, step in self._steps:
            node = found[before]
            if node is None:
                add(None)
            elif isinstance(step, str):
                add(node.get(step) if isinstance(node, dict) else None)
            elif isinstance(node, list):
                add(node[step] if step < len(node) else None)
            else:
                add(get(node, (step,)))
        return found


def leaves(node: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of everything that is neither a list nor an object with content."""
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from leaves(child, (*path, _step(str(key))))
    elif isinstance(node, list) and node:
        for index, child in enumerate(node):
            yield from leaves(child, (*path, index))
    else:
        yield path


def dotted(path: Path) -> str:
    """A path as text."""
    return ".".join(map(str, path))
