"""What is well, what is not, and what to do about it."""

from __future__ import annotations

import difflib
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from psycopg import Connection

from ingest import refusals
from misto.doctor_broker import limits
from misto.finding import Finding, Level
from misto.settings import Settings
from store.connection import connect, describe
from store.errors import MigrationError, NoTimescale, StoreError, in_words
from store.migrate import check_schema, edition_of
from store.queries import sql
from store.reading_log import lag
from store.rules_leases import unheld, worker_list

_SERVICES = ("ingest", "rules", "keeper", "board")
_SUBJECTS = {NoTimescale: "TimescaleDB", MigrationError: "migrations"}
_CLOCK_TOLERANCE_S = 5.0
_DISK_FREE_GB = 2.0


def examine(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at everything; each part is looked at even if another is down."""
    yield from _settings(environment)
    try:
        connection = connect(settings.database_url, service="doctor", autocommit=True, timeout_s=5)
    except StoreError as error:
        yield _wrong("database", f"{error}; `make demo` starts a private one")
    else:
        with connection:
            yield from _database(connection, settings)
    yield from _broker(settings)
    yield from _disk(settings)


def _wrong(subject: str, sentence: str, level: Level = "wrong") -> Finding:
    """The sentences of errors say what is wrong, then what to do."""
    text, _, remedy = sentence.partition("; ")
    return Finding(subject, level, text, remedy or "docs/operations.md, Exit statuses")


def _settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    known = {f"MISTO_{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in environment if name.startswith("MISTO_") and name not in known)
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "docs/configuration.md lists the settings"
        yield Finding("settings", "warning", f"there is no setting {name}", hint)
    if not unknown:
        yield Finding("settings", "ok", "every MISTO_ variable is known")


def _database(connection: Connection[Any], settings: Settings) -> Iterator[Finding]:
    well = Finding(
        "database",
        "ok",
        f"{describe(settings.database_url)}, PostgreSQL {connection.info.server_version // 10_000}",
    )
    try:
        check_schema(connection, writes=True)
    except StoreError as error:
        subject = next((name for kind, name in _SUBJECTS.items() if isinstance(error, kind)), "database")
        if subject != "database":
            yield well
        yield _wrong(subject, str(error))
        return
    yield well
    if edition_of(connection) == "apache":
        text = "Apache edition: rollups are views, no columnstore"
        yield Finding("TimescaleDB", "ok", text, "for years of data take the Community edition")
    else:
        yield Finding("TimescaleDB", "ok", "Community edition")
    yield Finding("migrations", "ok", "the schema is up to date")
    for look in (_clock, _city, _services, _flow):
        try:
            yield from look(connection, settings)
        except psycopg.Error as error:
            yield Finding(look.__name__.strip("_"), "wrong", in_words(error), "check the rights of this database role")


def _clock(connection: Connection[Any], settings: Settings) -> Iterator[Finding]:
    row = connection.execute(sql("doctor.now")).fetchone()
    assert row is not None
    apart_s = abs((datetime.now(UTC) - row[0]).total_seconds())
    if apart_s > _CLOCK_TOLERANCE_S:
        text = f"this machine's clock and the database's are {apart_s:.0f} s apart"
        yield Finding("clock", "wrong", text, "set both by NTP (timedatectl set-ntp true)")
    else:
        yield Finding("clock", "ok", "this machine's clock and the database's agree")


def _city(connection: Connection[Any], settings: Settings) -> Iterator[Finding]:
    row = connection.execute(sql("doctor.city")).fetchone()
    if row is None:
        remedy = "write one (docs/inventory.md) and run `misto inventory load FILE`"
        yield Finding("inventory", "wrong", "no inventory is loaded", remedy)
        return
    name, zone, sites, points, without_device, unclaimed = row
    yield Finding("inventory", "ok", f"{name}: {sites} sites, {points} points")
    if zone != settings.time_zone:
        text = f"the inventory's time zone is {zone}, MISTO_TIME_ZONE is {settings.time_zone}"
        yield Finding("inventory", "wrong", text, "make them the same: devices' local times are read in it")
    if without_device:
        text = f"{without_device} points have no device now"
        yield Finding("inventory", "warning", text, "add their devices to the inventory, or remove the points")
    if unclaimed:
        text = f"{unclaimed} devices send and belong to no point"
        yield Finding(
            "devices", "warning", text, "place them: `misto devices list --unclaimed`, or the board's page Devices"
        )


def _services(connection: Connection[Any], settings: Settings) -> Iterator[Finding]:
    beats = dict(connection.execute(sql("doctor.heartbeats")).fetchall())
    for service in _SERVICES:
        command = "rules run" if service == "rules" else service
        age_s = beats.get(service)
        if age_s is None:
            yield Finding(service, "warning", "has never run with this database", f"start `misto {command}`")
        elif age_s > 60:
            yield Finding(service, "wrong", f"was last alive {_ago(age_s)} ago", f"start `misto {command}`")
        elif service == "rules":
            yield from _rules_workers(connection)
        else:
            yield Finding(service, "ok", "is alive")


def _rules_workers(connection: Connection[Any]) -> Iterator[Finding]:
    workers = [worker for worker in worker_list(connection) if worker.alive]
    shares = ", ".join(f"{worker.name} ({worker.partitions})" for worker in workers)
    free = unheld(connection)
    if free:
        text = f"{free} of 64 partitions of the points are judged by nobody; workers: {shares or 'none'}"
        yield Finding("rules", "wrong", text, "start `misto rules run`; if it runs, look again in ten seconds")
    else:
        yield Finding("rules", "ok", f"partitions by worker: {shares}")
    for worker in workers:
        if not worker.in_force:
            text = f"the worker {worker.name} has other rules than those in force and waits"
            yield Finding("rules", "warning", text, "give it the same rule files and the same Misto, and restart it")


def _flow(connection: Connection[Any], settings: Settings) -> Iterator[Finding]:
    row = connection.execute(sql("doctor.flow")).fetchone()
    assert row is not None
    last_s, quarantined = row
    if last_s is None:
        yield Finding("readings", "warning", "no reading has ever come in", "publish one (docs/mqtt-json.md shows how)")
    elif last_s > 900:
        text = f"the last reading came in {_ago(last_s)} ago"
        yield Finding("readings", "wrong", text, "is ingest alive, and do the sensors publish to this broker?")
    else:
        yield Finding("readings", "ok", f"the last reading came in {_ago(last_s)} ago")
    if quarantined:
        text = f"{quarantined} messages of the last 24 hours could not be read"
        remedy = "the board's page Devices shows why; `misto decode` explains one"
        yield Finding("quarantine", "warning", text, remedy)
    for reader in ("rules", "keeper"):
        behind = lag(connection, reader)
        if behind.batches and behind.age_s > 120:
            text = f"{reader}: {behind.batches} batches behind, the oldest {_ago(behind.age_s)} old"
            yield Finding("reading log", "warning", text, f"is `misto {reader}` alive? is a transaction open for long?")


def _broker(settings: Settings) -> Iterator[Finding]:
    parts = urlsplit(settings.mqtt_url)
    host, port = parts.hostname or "127.0.0.1", parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    place = f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        text = f"the broker at {place} cannot be reached: {error}"
        yield Finding("broker", "wrong", text, "start it, or set MISTO_MQTT_URL to where it is")
        return
    said = _session(settings, host, port, MQTTProtocolVersion.MQTTv5)
    if said.wrong_version or said.silent:
        said = _session(settings, host, port, MQTTProtocolVersion.MQTTv311)
        if said.taken and settings.mqtt_share:
            said.refusal = refusals.of_share(settings.mqtt_share)
    if said.taken:
        number = "5" if said.version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        yield Finding("broker", "ok", f"{place}, MQTT {number}")
    if said.refusal is not None:
        yield _wrong("broker", f"{place} {said.refusal.sentence}")
    about_packets = refusals.about_packets(said.packet_bytes)
    if about_packets is not None:
        yield _wrong("broker", f"{place} {about_packets}", "warning")
    if said.taken and said.version is MQTTProtocolVersion.MQTTv5:
        yield from limits(settings)


@dataclass
class _Said:
    """What the broker answered in one session."""

    version: MQTTProtocolVersion
    taken: bool = False
    silent: bool = True
    wrong_version: bool = False
    refusal: refusals.Refusal | None = field(default_factory=refusals.of_silence)
    packet_bytes: int | None = None


def _session(settings: Settings, host: str, port: int, version: MQTTProtocolVersion) -> _Said:
    """Log in and subscribe as ingest would, under a name of our own that leaves no session behind."""
    said = _Said(version)
    done = threading.Event()
    name = f"misto-doctor-{os.getpid()}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=version)
    parts = urlsplit(settings.mqtt_url)
    if parts.username:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    topics = [topic.strip() for topic in settings.mqtt_topics.split(",")]
    # A group of the doctor's own: in that of the workers it would take a share of their messages.
    group = f"$share/{name}/" if settings.mqtt_share else ""

    def on_connect(client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        said.silent = False
        if reason.is_failure:
            said.wrong_version = reason.value == refusals.WRONG_VERSION
            said.refusal = refusals.of_login(reason.value, str(reason))
            done.set()
            return
        said.taken = True
        said.packet_bytes = getattr(properties, "MaximumPacketSize", None)
        said.refusal = refusals.of_size(said.packet_bytes, topics)
        if said.refusal is not None:
            done.set()
            return
        client.subscribe([(group + topic, 1) for topic in topics])

    def on_subscribe(client: mqtt.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        answers = zip(topics, reasons, strict=False)
        said.refusal = refusals.of_subscription(
            (topic, reason.value, str(reason)) for topic, reason in answers if reason.is_failure
        )
        done.set()

    def on_disconnect(client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            said.silent, said.refusal = False, refusals.of_end(reason.value, str(reason))
        done.set()

    client.on_connect, client.on_subscribe, client.on_disconnect = on_connect, on_subscribe, on_disconnect
    try:
        if parts.scheme == "mqtts":
            client.tls_set(ca_certs=str(settings.mqtt_ca_file) if settings.mqtt_ca_file else None)
        client.connect(host, port, 10)
        client.loop_start()
        done.wait(5)
    except OSError as error:
        said.silent = False
        said.refusal = refusals.Refusal(f"cannot be talked to: {error}; check MISTO_MQTT_URL and MISTO_MQTT_CA_FILE")
    finally:
        client.on_disconnect = None
        client.disconnect()
        client.loop_stop()
    return said


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.runtime_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < _DISK_FREE_GB:
        yield Finding("disk", "wrong", f"{free_gb:.1f} GB are free at {folder}", "make room: a full disk stops ingest")
    else:
        yield Finding("disk", "ok", f"{free_gb:.0f} GB are free at {folder}")


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
