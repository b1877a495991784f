"""Value templates of Home Assistant's discovery, the simple ones: which value, as a number, times a factor.

Source: Home Assistant documentation, "Templating" and "MQTT sensor". Read are `{{ … }}` with `value`, `value_json` and
paths into it, numbers, `+ - * /`, brackets, and the filters below. Everything else (conditions, states, macros) is
refused: a template is input, and no template engine ever sees it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from ingest.numbers import number

_LONGEST = 300
_DEEPEST = 20
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d{1,15}(?:\.\d{1,15})?)|(?P<name>[A-Za-z_]\w*)|(?P<text>'[^'\\]*'|\"[^\"\\]*\")|(?P<sign>[-+*/|()\[\].,=]))"
)
_WHOLE = re.compile(r"\s*\{\{-?(.*?)-?\}\}\s*", re.DOTALL)

_Part = Callable[[str, Any], Any]


class Absent(Exception):
    """The message does not hold what the template asks for."""


class Template:
    """A template ready for use. Raises ValueError where it is none of the simple ones."""

    def __init__(self, text: str) -> None:
        match = _WHOLE.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None or "{{" in match[1]:
            raise ValueError(f"its template {text[:80]!r} is not one that Misto reads")
        self._tokens = _tokens(match[1])
        self._at = 0
        self._depth = 0
        #: The steps of paths into the message, which are names as its sender gives them.
        self.names: list[str] = []
        self.wants_json = False
        self._value = self._sum()
        if self._at < len(self._tokens):
            raise ValueError(
                f"its template has something that Misto does not read at {self._tokens[self._at][1][:20]!r}"
            )

    def value(self, text: str, content: Any) -> Any:
        """The value in a message. Raises `Absent` where it is not there, ValueError where it is no number."""
        try:
            return self._value(text, content)
        except (OverflowError, ZeroDivisionError):
            raise ValueError("cannot be worked out") from None

    def _next(self, *wanted: str) -> str | None:
        """The next token if it is one of these signs or kinds."""
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if text in wanted or kind in wanted:
                self._at += 1
                return text
        return None

    def _need(self, wanted: str) -> str:
        found = self._next(wanted)
        if found is None:
            raise ValueError(f"its template lacks {wanted!r}")
        return found

    def _sum(self) -> _Part:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("its template is nested too deep")
        result = self._product()
        while sign := self._next("+", "-"):
            result = _arithmetic(sign, result, self._product())
        self._depth -= 1
        return result

    def _product(self) -> _Part:
        result = self._filtered()
        while sign := self._next("*", "/"):
            result = _arithmetic(sign, result, self._filtered())
        return result

    def _filtered(self) -> _Part:
        if self._next("-"):
            return _arithmetic("-", lambda text, content: 0, self._filtered_once())
        return self._filtered_once()

    def _filtered_once(self) -> _Part:
        result = self._one()
        while self._next("|"):
            name = self._need("name")
            arguments = self._arguments() if self._next("(") else []
            result = _filter(name, arguments, result)
        return result

    def _one(self) -> _Part:
        told = self._next("number")
        if told is not None:
            constant = float(told)
            return lambda text, content: constant
        if self._next("("):
            inner = self._sum()
            self._need(")")
            return inner
        name = self._need("name")
        if name in ("float", "int"):
            self._need("(")
            inner = self._sum()
            if self._next(","):
                self._arguments()
            else:
                self._need(")")
            return _filter(name, [], inner)
        if name == "value":
            return lambda text, content: text
        if name != "value_json":
            raise ValueError(f"its template uses {name[:40]!r}, which Misto does not read")
        return self._path()

    def _path(self) -> _Part:
        self.wants_json = True
        steps: list[str | int] = []
        while sign := self._next(".", "["):
            kind, told = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
            self._at += 1
            if kind == "name" and sign == ".":
                steps.append(told)
            elif kind == "number" and told.isdigit():
                steps.append(int(told))
            elif kind == "text" and sign == "[":
                steps.append(told[1:-1])
            else:
                raise ValueError("its template has a path that Misto does not read")
            if sign == "[":
                self._need("]")
        self.names += [step for step in steps if isinstance(step, str)]
        return lambda text, content: _walk(content, steps)

    def _arguments(self) -> list[float]:
        """What stands in a filter's brackets, up to the closing one: numbers count."""
        numbers: list[float] = []
        while not self._next(")"):
            sign = -1.0 if self._next("-") else 1.0
            if self._at >= len(self._tokens):
                raise ValueError("its template lacks ')'")
            kind, told = self._tokens[self._at]
            if kind not in ("number", "name", "text") and told not in (",", "="):
                raise ValueError("its template has arguments that Misto does not read")
            if kind == "number":
                numbers.append(sign * float(told))
            self._at += 1
        return numbers


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ValueError(f"its template has {text[position : position + 20]!r}, which Misto does not read")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


def _walk(content: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if isinstance(content, dict) and isinstance(step, str):
            content = content.get(step)
        elif isinstance(content, list) and isinstance(step, int) and step < len(content):
            content = content[step]
        else:
            raise Absent
        if content is None:
            raise Absent
    return content


def _arithmetic(sign: str, left: _Part, right: _Part) -> _Part:
    def worked_out(text: str, content: Any) -> float:
        first, second = number(left(text, content)), number(right(text, content))
        if sign == "+":
            return first + second
        if sign == "-":
            return first - second
        return first * second if sign == "*" else first / second

    return worked_out


def _filter(name: str, arguments: list[float], inner: _Part) -> _Part:
    if name in ("is_defined", "default", "d", "trim", "string"):
        return inner  # what is missing is no reading, whatever stands in for it
    if name == "float":
        return lambda text, content: number(inner(text, content))
    if name == "int":
        return lambda text, content: float(math.trunc(number(inner(text, content))))
    if name == "abs":
        return lambda text, content: abs(number(inner(text, content)))
    if name == "multiply" and len(arguments) == 1:
        return lambda text, content: number(inner(text, content)) * arguments[0]
    if name == "round":
        digits = int(max(-9, min(arguments[0] if arguments else 0, 15)))
        return lambda text, content: round(number(inner(text, content)), digits)
    raise ValueError(f"its template has the filter {name[:40]!r}, which Misto does not read")
