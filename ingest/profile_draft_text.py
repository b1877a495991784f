"""The text of a drafted profile: YAML with its comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.profile_check import Outcome
from ingest.profile_guess import Column, Guess, seen

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*( [\w./-]+)*")
_WORDS = frozenset({"true", "false", "null"})


@dataclass
class Parts:
    """What goes into the file. `examples` are (topic and payload, or fields and port) with what they gave."""

    id: str
    model: str
    kind: str
    envelope: str
    names: list[str]
    telling: list[str]
    found: Mapping[str, Column]
    guesses: Mapping[str, Guess]
    examples: list[tuple[dict[str, Any], Outcome]] = field(default_factory=list)


def profile_text(parts: Parts) -> str:
    """The file. Without examples yet, one stands in for them."""
    return "\n".join(_lines(parts)) + "\n"


def _lines(parts: Parts) -> Iterator[str]:
    yield "# Drafted by `misto profile new`. Look through the fields and the examples before you use or publish it:"
    yield "# `misto profile test FILE` says whether it holds; docs/profiles.md explains the keys."
    yield "version: 1"
    yield f"id: {_scalar(parts.id)}"
    yield "maker: unknown  # who makes it"
    yield f"model: {_scalar(parts.model)}"
    yield f"kind: {parts.kind}  # what it measures: electricity, heat, gas, water, bin, weather"
    yield f"envelopes: [{parts.envelope}]"
    yield "documentation: recorded messages  # where its fields are described"
    if parts.names or parts.telling:
        yield "recognise:"
        if parts.names:
            yield f"  names: {_flow(parts.names)}"
        if parts.telling:
            yield f"  fields: {_flow(parts.telling)}"
    yield "fields:"
    sure = {name: guess for name, guess in parts.guesses.items() if guess.sure and guess.spec}
    for name, guess in sure.items():
        yield f"  {_scalar(name)}: {_flow(dict(guess.spec))}  # {seen(parts.found[name])}"
    rest = {
        name: guess
        for name, guess in parts.guesses.items()
        if name not in sure and not any(guess.spec.get("unit_from") == name for guess in sure.values())
    }
    proposed = {name: guess for name, guess in rest.items() if guess.spec}
    if proposed:
        yield "  # Not sure. Take the # away from what is right, and its line out of `ignored`:"
    for name, guess in proposed.items():
        yield f"  # {_scalar(name)}: {_flow(dict(guess.spec))}  # {seen(parts.found[name])}; {guess.note}"
    if rest:
        yield "# Understood and not wanted; until you have looked at them, also what nobody knows."
        yield "ignored:"
    for name, guess in rest.items():
        yield f"  - {_scalar(name)}  # {'; '.join(filter(None, (seen(parts.found[name]), guess.note)))}"
    yield "examples:"
    if not parts.examples:
        yield "  - {fields: {}, readings: {battery_pct: 1}}"
    for content, outcome in parts.examples:
        yield from _example(content, outcome, parts)


def _example(content: Mapping[str, Any], outcome: Outcome, parts: Parts) -> Iterator[str]:
    keys: dict[str, Any] = dict(content)
    if "fields" in keys and parts.names:
        keys = {"name": parts.names[0], **keys}
    keys |= {"readings": outcome.readings[None, ""]} if (None, "") in outcome.readings else {}
    channels = {channel: readings for (_, channel), readings in outcome.readings.items() if channel}
    keys |= {"channels": channels} if channels else {}
    keys |= {"suspect": sorted(outcome.suspect)} if outcome.suspect else {}
    for index, (key, value) in enumerate(keys.items()):
        yield f"  {' ' if index else '-'} {key}: {_flow(value)}"


def _scalar(value: Any) -> str:
    """A value as YAML 1.2 writes it; JSON is YAML."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)
