"""The session with the broker: paho-mqtt for the protocol, a reading loop of our own for speed.

paho reads a packet's head byte by byte, a system call each, and sends each acknowledgement alone. Here its socket is
wrapped: reads come out of a large buffer, writes collect until the loop flushes them. `_create_socket` is the one
private method of paho that this overrides; tests/unit/test_session.py notices if it goes away.
"""

from __future__ import annotations

import logging
import random
import select
import socket
import ssl
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

from ingest.message import Message

log = logging.getLogger("misto.ingest")

_READ_BYTES = 256 * 1024
_KEEPALIVE_S = 60
_NEVER_EXPIRES = 0xFFFFFFFF
_SHORTEST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True)
class SessionConfig:
    """How to reach the broker, and what to ask of it."""

    url: str
    client_id: str
    topics: tuple[str, ...]
    share: str = ""
    receive_maximum: int = 10_000
    ca_file: Path | None = None

    @property
    def filters(self) -> list[str]:
        """Topic filters as subscribed to."""
        return [f"$share/{self.share}/{topic}" if self.share else topic for topic in self.topics]

    @property
    def place(self) -> str:
        """Host and port, for people."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or (8883 if parts.scheme == 'mqtts' else 1883)}"


class BufferedSocket:
    """A non-blocking socket that reads in large pieces and writes when it is told to."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self._in = memoryview(b"")
        self._out = bytearray()

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; BlockingIOError if there are none now, b"" if the broker has hung up."""
        if not self._in:
            try:
                self._in = memoryview(self._plain.recv(_READ_BYTES))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise BlockingIOError from None
        piece, self._in = self._in[:size], self._in[size:]
        return bytes(piece)

    def send(self, data: bytes | bytearray) -> int:
        """Take bytes to be sent by `flush`."""
        self._out += data
        return len(data)

    def flush(self) -> bool:
        """Send what the line takes; True if nothing is left."""
        while self._out:
            try:
                sent = self._plain.send(self._out)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self._out[:sent]
        return True

    @property
    def has_input(self) -> bool:
        """True if bytes are here that `select` does not see."""
        return bool(self._in) or (isinstance(self._plain, ssl.SSLSocket) and self._plain.pending() > 0)

    def fileno(self) -> int:
        return self._plain.fileno()

    def setblocking(self, flag: bool) -> None:
        self._plain.setblocking(flag)

    def close(self) -> None:
        self._plain.close()

    def pending(self) -> int:
        return len(self._in)


class _Client(mqtt.Client):
    buffered: BufferedSocket | None = None

    def _create_socket(self) -> Any:
        self.buffered = BufferedSocket(super()._create_socket())  # type: ignore[arg-type]
        return self.buffered


@dataclass
class Session:
    """Receives messages until told to stop; acknowledges those that the pipeline has finished.

    `on_messages(messages, generation)` gets what one pass of the loop read, in order of arrival.
    `finished()` returns (generation, packet ids in order of arrival) that may be acknowledged, `unfinished()` how many
    messages may not yet; `wake` becomes readable when there are new finished ones. `drain()` waits for the unfinished.
    `on_connected(present)` tells whether the broker still had the session.
    """

    config: SessionConfig
    on_messages: Callable[[list[Message], int], None]
    finished: Callable[[], Iterable[tuple[int, list[int]]]]
    unfinished: Callable[[], int]
    wake: socket.socket
    drain: Callable[[], None]
    on_connected: Callable[[bool], None]
    on_disconnected: Callable[[], None]
    connected: bool = False
    state: str = "has not tried to connect yet"
    generation: int = 0
    _version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5
    _arrived: list[Message] = field(default_factory=list)
    _refused: str = ""

    def run(self, stop: threading.Event) -> None:
        """Connect, receive and reconnect with growing pauses, until `stop`."""
        pause_s = _SHORTEST_PAUSE_S
        told = ""
        while not stop.is_set():
            try:
                self._serve(stop)
                reason = self._refused or "the connection was closed"
            except (OSError, ValueError) as error:
                reason = str(error)
            if self.connected:
                self.connected = False
                self.on_disconnected()
                pause_s = _SHORTEST_PAUSE_S
            if stop.is_set():
                break
            self.state = f"the broker at {self.config.place} is away: {reason}"
            if self.state != told:
                log.warning("%s; trying again, messages wait in the broker", self.state)
                told = self.state
            stop.wait(pause_s * random.uniform(0.7, 1.3))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _serve(self, stop: threading.Event) -> None:
        self._refused = ""
        client = self._make_client()
        parts = urlsplit(self.config.url)
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        options: dict[str, Any] = {}
        if self._version is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = _NEVER_EXPIRES
            properties.ReceiveMaximum = self.config.receive_maximum
            options = {"clean_start": False, "properties": properties}
        client.connect(parts.hostname or "127.0.0.1", port, _KEEPALIVE_S, **options)
        self.generation += 1
        try:
            self._loop(client, stop)
        finally:
            client.disconnect()
            if client.buffered is not None:
                client.buffered.flush()
                client.buffered.close()

    def _loop(self, client: _Client, stop: threading.Event) -> None:
        line = client.buffered
        assert line is not None
        checked = time.monotonic()
        waiting_for_write = False
        while not stop.is_set() and not self._refused:
            if not line.has_input:
                writable = [line.fileno()] if waiting_for_write else []
                readable, _, _ = select.select([line.fileno(), self.wake.fileno()], writable, [], 0.2)
                if self.wake.fileno() in readable:
                    self.wake.recv(4096)
            # Reading as much as is there, but not for ever: acknowledgements must go out in between.
            for _ in range(2_000):
                if client.loop_read() != mqtt.MQTT_ERR_SUCCESS:
                    return
                if not line.has_input:
                    break
            if self._arrived:
                arrived, self._arrived = self._arrived, []
                self.on_messages(arrived, self.generation)
            self._acknowledge(line)
            client.loop_write()
            waiting_for_write = not line.flush()
            now = time.monotonic()
            if now - checked > 1:
                checked = now
                if client.loop_misc() != mqtt.MQTT_ERR_SUCCESS:
                    return
                if self.unfinished() > 2 * self.config.receive_maximum + 20_000:
                    # Some brokers send more than receive-maximum allows. They keep what is not acknowledged.
                    self._refused = "it sends more than is acknowledged; pausing until that is stored"
        if stop.is_set():
            self.drain()
        self._acknowledge(line)

    def _acknowledge(self, line: BufferedSocket) -> None:
        for generation, packet_ids in self.finished():
            # A packet id belongs to its connection: after a reconnect the broker sends the message again.
            if generation == self.generation and packet_ids:
                line.send(b"".join([_PUBACK.pack(0x40, 2, packet_id) for packet_id in packet_ids]))

    def _make_client(self) -> _Client:
        five = self._version is MQTTProtocolVersion.MQTTv5
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.config.client_id,
            protocol=self._version,
            manual_ack=True,
            reconnect_on_failure=False,
            clean_session=None if five else False,
        )
        parts = urlsplit(self.config.url)
        if parts.username:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set(ca_certs=str(self.config.ca_file) if self.config.ca_file else None)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            if reason.value == 132 and self._version is MQTTProtocolVersion.MQTTv5:
                log.warning("the broker at %s has no MQTT 5; going on with 3.1.1", self.config.place)
                self._version = MQTTProtocolVersion.MQTTv311
            self._refused = f"it refuses the login ({reason}); check user and password in MISTO_MQTT_URL"
            return
        # paho does not subscribe again by itself, and a broker that lost the session has lost the subscription.
        if self._version is MQTTProtocolVersion.MQTTv5:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self.config.filters])
        else:
            client.subscribe([(topic, 1) for topic in self.config.filters])
        self.state = "connected"
        self.connected = True
        session = "resumed" if flags.session_present else "new"
        log.info("connected to the broker at %s, session %s", self.config.place, session)
        self.on_connected(flags.session_present)

    def _on_subscribe(self, client: mqtt.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        refused = [
            f"{topic} ({reason})"
            for topic, reason in zip(self.config.filters, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            self._refused = f"it refuses the subscription to {', '.join(refused)}; check the broker's access rules"

    def _on_message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        self._arrived.append(
            Message(
                message._topic.decode("utf-8", "replace"), bytes(message.payload), time.time_ns() // 1000, message.mid,
                message.qos, message.dup, message.retain,
            )
        )  # fmt: skip

    def _on_disconnect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server or reason.is_failure:
            self._refused = self._refused or f"it ended the session ({reason})"


_PUBACK = struct.Struct("!BBH")
