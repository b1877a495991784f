"""`misto decode`: what a message becomes, and why."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn
from zoneinfo import ZoneInfo

import typer

from catalogue.geometry import BinGeometry
from ingest.envelopes import all_envelopes
from ingest.explain import Explainer
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.pins import WrongPin
from ingest.profile import Profile, load_profiles
from ingest.recorded import NoRecording, Recorded, read_recorded
from misto.explanation import as_json, lines_of
from misto.near import hint
from misto.settings import Settings

_USAGE = 2


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("decode")(decode)


def decode(
    file: Annotated[
        Path, typer.Argument(help="file with a payload, or with recorded messages a line each; - reads standard input")
    ],
    topic: Annotated[str | None, typer.Option(help="topic that the message came on, if the file does not tell")] = None,
    profile: Annotated[str | None, typer.Option(help="read it with this profile instead of the one that fits")] = None,
    bin_mm: Annotated[
        str | None, typer.Option(help="for a bin: distance to the floor and to the full mark, as 1500,300")
    ] = None,
    received: Annotated[
        str | None, typer.Option(help="when it was received, as 2026-11-23T10:15; now if the file does not tell")
    ] = None,
    as_lines: Annotated[bool, typer.Option("--json", help="a JSON object for each message")] = False,
) -> None:
    """Show what a message becomes and why, and which of its fields nobody understood.

    Recorded messages: what `mosquitto_sub -F %j`, `-F %J` or `-v` writes, or JSON lines with topic and payload.
    Ends with 0 if everything was read, 1 if anything would go to quarantine, 2 if it was asked wrongly.
    """
    settings = Settings()
    zone = ZoneInfo(settings.time_zone)
    messages = recorded_in(file, topic)
    received_us = _moment_us(received, zone)
    profiles = load_profiles(settings.profiles_dir, zone)
    _check_profile(profile, profiles)
    try:
        registry = OneDevice(profile, _geometry(bin_mm))
        explainer = Explainer(all_envelopes(zone), profiles, registry, settings.envelopes)
    except WrongPin as error:
        refuse(str(error))
    refused = 0
    for number, recorded in enumerate(messages, 1):
        moment_us = recorded.received_us or received_us or time.time_ns() // 1000
        told = explainer.explain(Message(recorded.topic, recorded.payload, moment_us, retained=recorded.retained))
        refused += not told.is_read
        if as_lines:
            print(json.dumps(as_json(told)))
            continue
        if len(messages) > 1:
            print(f"{'' if number == 1 else chr(10)}message {number} of {len(messages)}, line {recorded.line}")
        print("\n".join(lines_of(told, zone, forced=profile is not None)))
    if len(messages) > 1 and not as_lines:
        print(f"\n{len(messages)} messages, {refused} of them with something that cannot be read")
    if refused:
        raise typer.Exit(1)


def recorded_in(file: Path, topic: str | None) -> list[Recorded]:
    """The messages in a file, or in standard input for `-`. Ends the program where there are none."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}")
    try:
        return read_recorded(content, topic)
    except NoRecording as error:
        refuse(f"{'standard input' if str(file) == '-' else file}: {error}")


def refuse(sentence: str) -> NoReturn:
    """End the program: it was asked for something that cannot be."""
    print(f"misto: {sentence}", file=sys.stderr)
    raise typer.Exit(_USAGE)


def _check_profile(name: str | None, profiles: dict[str, Profile]) -> None:
    if name is not None and name not in profiles:
        refuse(f"there is no profile {name!r}{hint(name, profiles)}; `misto profile list` lists them")


def _geometry(bin_mm: str | None) -> BinGeometry | None:
    if bin_mm is None:
        return None
    try:
        empty, full = map(float, bin_mm.split(","))
        return BinGeometry(empty_mm=empty, full_mm=full)
    except ValueError:
        refuse(f"--bin-mm {bin_mm}: give two distances, the floor's first, as 1500,300")


def _moment_us(text: str | None, zone: ZoneInfo) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"--received {text!r}: expected for example 2026-11-23T10:15 or 2026-11-23T08:15:00Z")
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1e6)
