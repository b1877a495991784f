"""A connection to the broker: paho-mqtt speaks until CONNACK, then the socket is ours."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulators.errors import SimulatorError

_READ_BYTES = 256 * 1024
_RECORDS = 1_000
_WAIT_S = 10.0
# Linux: a broker that sends each acknowledgement alone would else wait 40 ms for ours of the one before.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
# Reason codes of CONNACK (MQTT 5.0, section 3.2.2.2; paho gives those of 3.1.1 as these).
_WRONG_VERSION = 132
_LOGIN = frozenset({134, 135, 138, 140})
_BUSY = frozenset({136, 137, 159})


class WrongVersion(ConnectionError):
    """The broker does not speak this version of MQTT."""


class Broker:
    """Where the broker is and how to log in. Raises `SimulatorError` if the URL names no broker."""

    def __init__(self, url: str, client_id: str, *, ca_file: Path | None = None) -> None:
        wrong = "MISTO_MQTT_URL names no broker; expected mqtt://user:password@host:port, or mqtts:// for TLS"
        try:
            parts = urlsplit(url)
            self.port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        except ValueError:
            raise SimulatorError(wrong) from None
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise SimulatorError(wrong)
        self.host = parts.hostname
        self.place = f"{self.host}:{self.port}"
        self.tls = parts.scheme == "mqtts"
        self.user = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password or "")
        self.client_id = client_id
        self.ca_file = ca_file


class Connection:
    """An open session, always a new one; a non-blocking line.

    `most_waiting` is how many messages the broker takes ahead of their acknowledgement, `most_bytes` its longest
    packet, `keepalive_s` after how much silence it hangs up.
    Raises OSError if the broker cannot be reached, `WrongVersion`, and `SimulatorError` if trying again is of no use.
    """

    def __init__(self, broker: Broker, *, version_5: bool, keepalive_s: int) -> None:
        self._place = broker.place
        version = MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=broker.client_id, protocol=version, reconnect_on_failure=False
        )
        if broker.user:
            self._client.username_pw_set(broker.user, broker.password)
        self._answer: tuple[Any, Any] | None = None
        self._client.on_connect = self._on_connect
        if broker.tls:
            try:
                self._client.tls_set(ca_certs=str(broker.ca_file) if broker.ca_file else None)
            except OSError as error:
                raise SimulatorError(f"MISTO_MQTT_CA_FILE: {broker.ca_file} is no certificate: {error}") from None
        try:
            self._client.connect(broker.host, broker.port, keepalive_s)
        except ssl.SSLCertVerificationError as error:
            raise SimulatorError(
                f"the certificate of the broker at {broker.place} is not trusted: {error.verify_message}; "
                "set MISTO_MQTT_CA_FILE"
            ) from None
        line = self._client.socket()
        assert line is not None
        self._line: socket.socket = line  # type: ignore[assignment]
        self._most_records = _RECORDS if broker.tls else 1
        try:
            reason, properties = self._wait_for_answer()
            self._judge(reason)
            if getattr(properties, "MaximumQoS", 1) == 0:
                raise SimulatorError(f"the broker at {broker.place} takes no messages with QoS 1")
        except BaseException:
            self.close()
            raise
        self.keepalive_s = int(getattr(properties, "ServerKeepAlive", keepalive_s)) or keepalive_s
        self.most_waiting = int(getattr(properties, "ReceiveMaximum", 65_535))
        self.most_bytes = int(getattr(properties, "MaximumPacketSize", 0)) or None
        with suppress(OSError):
            self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._answer = (reason, properties)

    def _wait_for_answer(self) -> tuple[Any, Any]:
        deadline = time.monotonic() + _WAIT_S
        while self._answer is None:
            if time.monotonic() > deadline:
                raise ConnectionError(f"it has not answered the login for {_WAIT_S:.0f} s")
            if self._client.want_write():
                self._client.loop_write()
            select.select([self._line], [], [], 0.1)
            if self._client.loop_read() != mqtt.MQTT_ERR_SUCCESS and self._answer is None:
                raise ConnectionError("it hung up at the login")
        return self._answer

    def _judge(self, reason: Any) -> None:
        if not reason.is_failure:
            return
        if reason.value == _WRONG_VERSION:
            raise WrongVersion(str(reason))
        if reason.value in _BUSY:
            raise ConnectionError(f"it does not take the login now ({reason})")
        advice = "; check user and password in MISTO_MQTT_URL" if reason.value in _LOGIN else ""
        raise SimulatorError(f"the broker at {self._place} refuses the login ({reason}){advice}")

    def send(self, data: memoryview) -> int:
        """Send what the line takes now; returns how many bytes. Raises OSError."""
        try:
            return self._line.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def receive(self) -> bytes:
        """What has arrived, b"" if nothing has. Raises OSError, also if the broker has hung up."""
        # TLS gives one record at a time, and in each may be a single acknowledgement.
        pieces: list[bytes] = []
        while len(pieces) < self._most_records:
            try:
                piece = self._line.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            if not piece:
                if pieces:
                    break
                raise ConnectionError("it hung up")
            pieces.append(piece)
        if pieces and _QUICKACK is not None:
            self._line.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return b"".join(pieces)

    def wait(self, seconds: float, *, to_send: bool) -> None:
        """Wait until something has arrived or, with `to_send`, the line takes more; at most `seconds`."""
        if not (isinstance(self._line, ssl.SSLSocket) and self._line.pending()):
            select.select([self._line], [self._line] if to_send else [], [], seconds)

    def close(self, *, orderly: bool = False) -> None:
        """Hang up; `orderly` says so before, which is right only between two packets."""
        if orderly:
            with suppress(OSError):
                self._client.disconnect()
        self._line.close()
