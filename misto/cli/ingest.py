"""`misto ingest` and `misto decode`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from catalogue.geometry import BinGeometry
from catalogue.inventory import normal_address
from catalogue.metrics import Quality, metrics_by_id
from ingest.decoder import Decoded, Decoder, Explanation
from ingest.envelopes import NotAReading, all_envelopes
from ingest.errors import REASONS, Undecodable
from ingest.message import Message
from ingest.profile import load_profiles
from ingest.service import Ingest, IngestConfig
from ingest.session import SessionConfig
from misto.service import health_server, set_up_logging, stop_on_signals, tune_collector
from misto.settings import Settings
from store.registry import Assignment, RegisteredDevice


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("ingest")(ingest)
    app.command("decode")(decode)


def ingest() -> None:
    """Take readings from the broker into the database until stopped."""
    settings = Settings()
    set_up_logging(settings.log_level)
    stop = stop_on_signals()
    config = IngestConfig(
        database_url=settings.database_url,
        session=SessionConfig(
            url=settings.mqtt_url,
            client_id=settings.mqtt_client_id,
            topics=tuple(topic.strip() for topic in settings.mqtt_topics.split(",") if topic.strip()),
            share=settings.mqtt_share,
            receive_maximum=settings.receive_maximum,
            ca_file=settings.mqtt_ca_file,
        ),
        time_zone=settings.time_zone,
        profiles_dir=settings.profiles_dir,
        batch_messages=settings.batch_messages,
        batch_linger_s=settings.batch_linger_ms / 1000,
        writers=settings.ingest_writers,
    )
    service = Ingest(config, stop)
    tune_collector()
    with health_server(settings.metrics_host, settings.ingest_metrics_port, service.health):
        service.run()


class _OneDevice:
    """A registry for `misto decode`: whatever device speaks, it is known, with this profile and bin."""

    def __init__(self, profile: str | None, geometry: BinGeometry | None) -> None:
        self._profile = profile
        self._geometry = geometry

    def device(self, address: str) -> RegisteredDevice:
        assignment = Assignment(0, "", float("-inf"), float("inf"), self._geometry)
        return RegisteredDevice(0, normal_address(address), self._profile, "claimed", [assignment])

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        return self.device(address)

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        pass


def decode(
    file: Annotated[Path, typer.Argument(help="file with the payload; - reads standard input")],
    topic: Annotated[str, typer.Option(help="topic that the message came on")],
    profile: Annotated[str | None, typer.Option(help="read it with this profile instead of the one that fits")] = None,
    bin_mm: Annotated[
        str | None, typer.Option(help="for a bin: distance to the floor and to the full mark, as 1500,300")
    ] = None,
) -> None:
    """Show what a message becomes, and which of its fields nobody understood."""
    settings = Settings()
    try:
        payload = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        print(f"misto: {file} cannot be read: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None
    geometry = None
    if bin_mm is not None:
        try:
            empty, full = map(float, bin_mm.split(","))
            geometry = BinGeometry(empty_mm=empty, full_mm=full)
        except ValueError:
            print(f"misto: --bin-mm {bin_mm}: give two distances, the floor's first, as 1500,300", file=sys.stderr)
            raise typer.Exit(1) from None
    decoder = Decoder(
        all_envelopes(ZoneInfo(settings.time_zone)),
        load_profiles(settings.profiles_dir, ZoneInfo(settings.time_zone)),
        _OneDevice(profile, geometry),
        thorough=True,
    )
    told = Explanation()
    try:
        parts = decoder.decode(Message(topic, payload, time.time_ns() // 1000), told)
    except NotAReading as error:
        _print_way(told)
        print(f"no reading: {error}; it is counted and not stored")
        return
    except Undecodable as error:
        _print_way(told)
        print(f"quarantine: {error.reason}: {error.detail}\n            {REASONS[error.reason]}")
        raise typer.Exit(1) from None
    _print_way(told)
    for decoded in parts:
        _print_part(decoded)
    if any(decoded.problems for decoded in parts):
        raise typer.Exit(1)


def _print_part(decoded: Decoded) -> None:
    print(f"time:       {datetime.fromtimestamp(decoded.time_us / 1e6, UTC).isoformat()} ({decoded.time_source})")
    print("readings:")
    for _, metric_id, value, quality in decoded.readings:
        metric = metrics_by_id()[metric_id]
        note = "" if quality == Quality.GOOD else f"   {Quality(quality).name.lower()}"
        print(f"  {metric.name:<24} {value:>14.6g} {metric.unit}{note}")
    for reason, detail in decoded.problems:
        print(f"problem:    {reason}: {detail}")
    if decoded.unknown_fields:
        print(f"not understood by anybody: {', '.join(decoded.unknown_fields)}")


def _print_way(told: Explanation) -> None:
    if told.envelope:
        print(f"envelope:   {told.envelope} ({told.envelope_why})")
    if told.address:
        print(f"device:     {told.address}")
    if told.profile_why:
        print(f"profile:    {told.profile or 'none'} ({told.profile_why})")
