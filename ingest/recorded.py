"""Recorded messages: one payload, or lines that tell topic and payload."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ingest.clock import parse_time_us
from ingest.errors import IngestError


class NoRecording(IngestError):
    """What a file holds is no recorded message. Its text is a sentence for a person."""


@dataclass(frozen=True)
class Recorded:
    """A message from a file. `received_us` is None where the file does not tell; `line` counts from 1."""

    topic: str
    payload: bytes
    line: int = 1
    received_us: int | None = None
    retained: bool = False


def read_recorded(content: bytes, topic: str | None) -> list[Recorded]:
    """The messages in a file. Raises `NoRecording` if it tells no topic and none is given.

    One payload as it came; or lines: JSON objects with `topic` and `payload` (as `mosquitto_sub -F %j` and `%J` write
    them, with `tst` as the time of reception), JSON payloads alone, or `topic payload` (`mosquitto_sub -v`).
    `topic` is that of messages which do not tell their own.
    """
    if not content.strip():
        if topic is None:
            raise NoRecording("it is empty")
        return [Recorded(topic, content)]
    whole = _json(content)
    if whole is not None:
        entries = whole if isinstance(whole, list) else [whole]
        if all(_is_recorded(entry) for entry in entries) and entries:
            return [_recorded(entry, 1) for entry in entries]
        return [Recorded(_needed(topic), content.strip())]
    lines = [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    told = [_json(line) for _, line in lines]
    if all(isinstance(entry, dict | list) for entry in told):
        return [
            _recorded(entry, number) if _is_recorded(entry) else Recorded(_needed(topic), line.strip(), number)
            for entry, (number, line) in zip(told, lines, strict=True)
        ]
    if topic is not None:
        return [Recorded(topic, content)]
    return [_verbose(line, number) for number, line in lines]


def _needed(topic: str | None) -> str:
    if topic is None:
        raise NoRecording("it does not tell the topic that the message came on: give it with --topic")
    return topic


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _is_recorded(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("topic"), str) and "payload" in entry


def _recorded(entry: dict[str, Any], line: int) -> Recorded:
    payload = entry["payload"]
    if payload is None:
        raw = b""
    elif isinstance(payload, str):
        raw = payload.encode("utf-8", "surrogatepass")
    else:
        raw = json.dumps(payload, ensure_ascii=False).encode()
    received_us = None
    try:
        if "tst" in entry:
            received_us = parse_time_us(entry["tst"])
    except ValueError as error:
        raise NoRecording(f"line {line}: tst: {error}") from None
    return Recorded(entry["topic"], raw, line, received_us, bool(entry.get("retain")))


def _verbose(line: bytes, number: int) -> Recorded:
    topic, blank, payload = line.partition(b" ")
    try:
        text = topic.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or text[0] in "{[\"'" or (not blank and "/" not in text):
        raise NoRecording(
            f"line {number} is neither JSON nor a topic with a payload; for one payload as it came give --topic"
        )
    return Recorded(text, payload, number)
