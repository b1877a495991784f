"""The session with the broker: paho-mqtt for the protocol, a reading loop of our own for speed.

paho's socket is wrapped in a `Line`: PUBLISH packets are read there, acknowledgements and all else collect until the
loop flushes them. `_create_socket` is the one private method of paho that this overrides; tests/unit/test_session.py
notices if it goes away. The keep-alive is ours too, for paho takes a pause in reading for a dead line.
"""

from __future__ import annotations

import logging
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest import refusals
from ingest.line import Line
from ingest.message import Message
from ingest.protocol import Protocol

log = logging.getLogger("misto.ingest")

_PASS_BYTES = 2 * 1024 * 1024
_SMALL_READ_BYTES = 4096
KEEPALIVE_S = 60
PINGREQ = b"\xc0\x00"
_PUBACK = struct.Struct("!BBH")
_NEVER_EXPIRES = 0xFFFFFFFF
_SHORTEST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_TAKEN_AGAIN_S = 60.0


@dataclass(frozen=True)
class SessionConfig:
    """How to reach the broker, and what to ask of it.

    `descriptions` are topic filters that a worker of a shared subscription reads whole: on them devices say what they
    are, often long ago in retained messages, which a shared subscription does not get (MQTT 5.0, section 4.8.2).
    """

    url: str
    client_id: str
    topics: tuple[str, ...]
    share: str = ""
    descriptions: tuple[str, ...] = ()
    receive_maximum: int = 10_000
    ca_file: Path | None = None

    @property
    def filters(self) -> list[str]:
        """Topic filters as subscribed to."""
        if not self.share:
            return list(self.topics)
        whole = [each for each in self.descriptions if any(covers(topic, each) for topic in self.topics)]
        return [*(f"$share/{self.share}/{topic}" for topic in self.topics), *whole]

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"

    @property
    def host(self) -> str:
        """The URL's host, or this machine."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The URL's port, or the scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (8883 if parts.scheme == "mqtts" else 1883)


def covers(wide: str, narrow: str) -> bool:
    """Whether all topics of one filter are topics of the other (MQTT 5.0, section 4.7.1)."""
    levels, its = wide.split("/"), narrow.split("/")
    for number, level in enumerate(levels):
        if level == "#":
            return True
        if number >= len(its) or its[number] == "#" or level not in ("+", its[number]):
            return False
    return len(levels) == len(its)


class SessionClient(mqtt.Client):
    line: Line | None = None

    def _create_socket(self) -> Any:
        version_5 = self.protocol == MQTTProtocolVersion.MQTTv5
        self.line = Line(super()._create_socket(), version_5=version_5)  # type: ignore[arg-type]
        return self.line


@dataclass
class Session:
    """Receives messages until told to stop; acknowledges those that the pipeline has finished.

    `on_messages(messages, generation)` gets what one pass of the loop read, in order of arrival.
    `finished()` returns (generation, packet ids in order of arrival) that may be acknowledged; `wake` becomes readable
    when there are new ones; `acknowledged` counts them. While `has_room()` is false nothing is read: the broker keeps
    it. `drain()` waits for what is not finished. `on_connected(present)` tells whether the broker had the session.
    """

    config: SessionConfig
    on_messages: Callable[[list[Message], int], None]
    finished: Callable[[], Iterable[tuple[int, list[int]]]]
    has_room: Callable[[], bool]
    wake: socket.socket
    drain: Callable[[], None]
    on_connected: Callable[[bool], None]
    on_disconnected: Callable[[], None]
    connected: bool = False
    state: str = "has not tried to connect yet"
    generation: int = 0
    acknowledged: int = 0
    _refused: refusals.Refusal | None = None
    _reached: bool = False
    _answered: bool = False
    _other_version: bool = False
    _told_of_packets: bool = False
    _told_of_version: bool = False
    _session_present: bool = False
    _keepalive_s: int = KEEPALIVE_S
    _knows_us: bool = False
    _over: bool = False
    _taken_at: float = float("-inf")
    _protocol: Protocol = field(init=False)

    def __post_init__(self) -> None:
        self._protocol = Protocol(sharing=bool(self.config.share))

    def run(self, stop: threading.Event) -> None:
        """Connect, receive and reconnect with growing pauses, until `stop`.

        Raises `BrokerRefused` where a person must change something; a broker that has once served is tried for ever,
        for it may be a new start in the middle of which its access rules are not there yet.
        """
        pause_s = _SHORTEST_PAUSE_S
        told = ""
        while not stop.is_set():
            if not self.has_room():
                self.state = "what was received waits for the database; the broker keeps the rest"
                stop.wait(0.2)
                continue
            self._refused, self._reached, self._answered, self._other_version = None, False, False, False
            said, cut = "", False
            try:
                self._serve(stop)
                cut = True
            except (OSError, ValueError) as error:
                said = f"is away: {error}; check that it runs and that MISTO_MQTT_URL is right"
                cut = isinstance(error, ConnectionResetError | BrokenPipeError)
            silent = cut and self._reached and not self._answered
            if silent and self._refused is None:
                self._refused = refusals.of_silence()
            if self.connected:
                self.connected = False
                self.on_disconnected()
                pause_s, told = _SHORTEST_PAUSE_S, ""
            if stop.is_set() or self._over:
                break
            if self._protocol.ended(silent=silent) or self._other_version:
                continue
            if self._refused is not None:
                said = self._refused.sentence
                if self._refused.lasting is not None and not self._knows_us:
                    raise self._refused.lasting(f"the broker at {self.config.place} {said}")
                if self._refused.is_patient:
                    # Once may be a mistake that is over; twice is another process that lasts.
                    if time.monotonic() - self._taken_at < _TAKEN_AGAIN_S:
                        pause_s = _LONGEST_PAUSE_S
                    self._taken_at = time.monotonic()
            self.state = f"the broker at {self.config.place} {said or 'is away: the connection was closed'}"
            if self.state != told:
                log.warning("%s; trying again", self.state)
                told = self.state
            stop.wait(pause_s * random.uniform(0.7, 1.3))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _serve(self, stop: threading.Event) -> None:
        client = self._make_client()
        options: dict[str, Any] = {}
        if self._protocol.five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = _NEVER_EXPIRES
            properties.ReceiveMaximum = self.config.receive_maximum
            options = {"clean_start": False, "properties": properties}
        client.connect(self.config.host, self.config.port, KEEPALIVE_S, **options)
        self._reached = True
        self.generation += 1
        line = client.line
        assert line is not None
        try:
            self._loop(client, line, stop)
        finally:
            try:
                self._part(client, line)
            finally:
                line.close()

    def _loop(self, client: SessionClient, line: Line, stop: threading.Event) -> None:
        flushed = line.flush()
        while not stop.is_set() and self._refused is None and not self._over:
            room = self.has_room()
            watched = [self.wake.fileno(), line.fileno()] if room else [self.wake.fileno()]
            writable = [] if flushed else [line.fileno()]
            readable, _, _ = select.select(watched, writable, [], 0 if room and line.has_input else 0.2)
            if self.wake.fileno() in readable:
                self.wake.recv(4096)
            if room:
                self._read(line)
                while line.has_packets:
                    if client.loop_read() != mqtt.MQTT_ERR_SUCCESS:
                        return
            else:
                line.received_at = time.monotonic()  # nobody listened
            self._acknowledge(line)
            self._keep_alive(line)
            client.loop_write()
            flushed = line.flush()
        if stop.is_set():
            self.drain()
        self._acknowledge(line)

    def _part(self, client: SessionClient, line: Line) -> None:
        """Say goodbye; the broker keeps the session."""
        client.disconnect()

    def _read(self, line: Line) -> None:
        """Read as much as is there, but not for ever: acknowledgements must go out in between."""
        total = 0
        while total < _PASS_BYTES and (count := line.receive()):
            total += count
        if line.messages:
            messages, line.messages = line.messages, []
            self.on_messages(messages, self.generation)
            if total < _SMALL_READ_BYTES:
                # A stream of single messages costs a pass each; those of a millisecond cost one together.
                time.sleep(0.001)

    def _keep_alive(self, line: Line) -> None:
        now = time.monotonic()
        if now - line.sent_at > self._keepalive_s / 2:
            line.send(PINGREQ)
            line.sent_at = now
        if now - line.received_at > 1.5 * self._keepalive_s:
            raise ConnectionError(f"it has not answered for {now - line.received_at:.0f} s")

    def _acknowledge(self, line: Line) -> None:
        for generation, packet_ids in self.finished():
            # A packet id belongs to its connection: after a reconnect the broker sends the message again.
            if generation == self.generation and packet_ids:
                line.send(b"".join([_PUBACK.pack(0x40, 2, packet_id) for packet_id in packet_ids]))
                self.acknowledged += len(packet_ids)

    def _make_client(self, *, clean: bool = False) -> SessionClient:
        five = self._protocol.five
        client = SessionClient(
            CallbackAPIVersion.VERSION2,
            client_id=self.config.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            clean_session=None if five else clean,
        )
        parts = urlsplit(self.config.url)
        if parts.username:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set(ca_certs=str(self.config.ca_file) if self.config.ca_file else None)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._answered = True
        if reason.is_failure:
            self._refused = refusals.of_login(reason.value, str(reason))
            if reason.value == refusals.WRONG_VERSION:
                self._other_version = self._protocol.refused()
                if self.config.share:
                    self._refused = refusals.of_share(self.config.share)
            return
        packet_bytes = getattr(properties, "MaximumPacketSize", None)
        self._refused = refusals.of_size(packet_bytes, self.config.filters)
        if self._refused is not None:
            return
        about_packets = refusals.about_packets(packet_bytes)
        if about_packets is not None and not self._told_of_packets:
            log.warning("the broker at %s %s", self.config.place, about_packets)
            self._told_of_packets = True
        self._keepalive_s = int(getattr(properties, "ServerKeepAlive", 0)) or KEEPALIVE_S
        self._subscribe(client, bool(flags.session_present))

    def _subscribe(self, client: mqtt.Client, session_present: bool) -> None:
        # paho does not subscribe again by itself, and a broker that lost the session has lost the subscription.
        if self._protocol.five:
            # Retained messages come once a process, which has to learn what Homie's and Home Assistant's devices are
            # that described themselves long ago, and once a session; not at every connection.
            handling = (
                SubscribeOptions.RETAIN_SEND_IF_NEW_SUB if self._knows_us else SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            )
            options = SubscribeOptions(qos=1, retainHandling=handling)
            client.subscribe([(topic, options) for topic in self.config.filters])
        else:
            client.subscribe([(topic, 1) for topic in self.config.filters])
        self._session_present = session_present

    def _on_subscribe(self, client: mqtt.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        self._refused = refusals.of_subscription(
            (topic, reason.value, str(reason))
            for topic, reason in zip(self.config.filters, reasons, strict=False)
            if reason.is_failure
        )
        if self._refused is not None:
            return
        self._protocol.worked()
        if not (self._protocol.five or self._told_of_version):
            log.warning("the broker at %s has no MQTT 5; going on with 3.1.1", self.config.place)
            self._told_of_version = True
        present = self._session_present
        if self._knows_us and not present:
            log.warning("the broker at %s has lost the session: what waited in it is gone", self.config.place)
        log.info("connected to the broker at %s, session %s", self.config.place, "resumed" if present else "new")
        self.state = "connected"
        self.connected = self._knows_us = True
        self.on_connected(present)

    def _on_unsubscribe(self, client: mqtt.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        """Only a session that leaves unsubscribes."""

    def _on_disconnect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server and self._refused is None:
            self._refused = refusals.of_end(reason.value, str(reason))
