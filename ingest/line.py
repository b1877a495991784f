"""The line to the broker: MQTT packets cut out of what arrives; PUBLISH is read here, all else is paho's.

paho reads a packet's head byte by byte and makes an object of every property; and it ends the session over a user
property that it takes for malformed, which the broker then delivers again: one such message would stop ingest for
good. Source of the packet layout: MQTT 5.0, sections 2.1 and 3.3 (3.1.1 is the same without properties).
"""

from __future__ import annotations

import socket
import ssl
import time

from ingest.message import Message

_READ_BYTES = 256 * 1024
#: A clock that is put back by more than this was set; by less, it was many messages at once.
_STEP_US = 1_000_000
_PUBLISH = 3


class BrokenPacket(ConnectionError):
    """What the broker sends is no MQTT; its text says why."""


class Line:
    """A non-blocking socket. `receive` fills `messages`; paho gets what else arrived from `recv`.

    What is sent waits for `flush`. `received_at` and `sent_at` are on the monotonic clock.
    """

    def __init__(self, plain: socket.socket, *, version_5: bool) -> None:
        self._plain = plain
        self._version_5 = version_5
        self._in = bytearray()
        self._needed = 2  # with fewer bytes than this in `_in` no packet can be complete
        self._for_paho = bytearray()
        self._out = bytearray()
        self._last_us = 0
        self.ended = False
        self.messages: list[Message] = []
        self.received_at = self.sent_at = time.monotonic()

    def receive(self) -> int:
        """Read once, cut out whole packets; returns how many bytes came. Raises `BrokenPacket` or OSError."""
        try:
            data = self._plain.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        if not data:
            self.ended = True
            return 0
        self.received_at = time.monotonic()
        self._in += data
        if len(self._in) >= self._needed:
            now_us = time.time_ns() // 1000
            if now_us < self._last_us - _STEP_US:
                self._last_us = now_us
            self._cut(now_us)
        return len(data)

    def _cut(self, now_us: int) -> None:
        buffer = bytes(self._in)
        end, at, self._needed = len(buffer), 0, 2
        while end - at >= 2:
            length, start, shift = buffer[at + 1] & 0x7F, at + 2, 7
            while buffer[start - 1] & 0x80 and start < end:
                if shift > 21:
                    raise BrokenPacket("a packet's length has more than four bytes")
                length |= (buffer[start] & 0x7F) << shift
                start, shift = start + 1, shift + 7
            if buffer[start - 1] & 0x80:
                self._needed = end - at + 1
                break
            stop = start + length
            if stop > end:
                self._needed = stop - at
                break
            if buffer[at] >> 4 == _PUBLISH:
                # A microsecond of its own: two messages without a time must not become one reading.
                now_us = self._last_us = max(now_us, self._last_us + 1)
                self.messages.append(parse_publish(buffer[at], buffer, start, stop, self._version_5, now_us))
            else:
                self._for_paho += buffer[at:stop]
            at = stop
        del self._in[:at]

    @property
    def has_packets(self) -> bool:
        """True if paho has something to read, be it the end of the connection."""
        return bool(self._for_paho) or self.ended

    @property
    def has_input(self) -> bool:
        """True if bytes are here that `select` does not see."""
        return isinstance(self._plain, ssl.SSLSocket) and self._plain.pending() > 0

    def recv(self, size: int) -> bytes:
        """For paho: up to `size` bytes; BlockingIOError if there are none now, b"" if the broker has hung up."""
        if not self._for_paho:
            if self.ended:
                return b""
            raise BlockingIOError
        piece = bytes(self._for_paho[:size])
        del self._for_paho[:size]
        return piece

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
            self.sent_at = time.monotonic()
        return True

    def fileno(self) -> int:
        return self._plain.fileno()

    def setblocking(self, flag: bool) -> None:
        self._plain.setblocking(flag)

    def pending(self) -> int:
        return len(self._for_paho)

    def close(self) -> None:
        """Close; acknowledgements that still wait are sent if the line takes them at once."""
        try:
            self.flush()
        except OSError:
            self._out.clear()
        self._plain.close()


def parse_publish(head: int, buffer: bytes, start: int, stop: int, version_5: bool, now_us: int) -> Message:
    """The PUBLISH packet whose variable header begins at `start`. Its properties are passed over unread.

    Raises `BrokenPacket`.
    """
    qos = head >> 1 & 3
    at = start + 2
    if at > stop or qos == 3:
        raise BrokenPacket("a PUBLISH packet is malformed")
    topic_end = at + (buffer[start] << 8 | buffer[start + 1])
    topic = buffer[at:topic_end]
    at, packet_id = topic_end, 0
    if qos:
        at += 2
        if at > stop:
            raise BrokenPacket("a PUBLISH packet ends within its packet id")
        packet_id = buffer[at - 2] << 8 | buffer[at - 1]
    if version_5:
        length, shift, more = 0, 0, True
        while more:
            if at >= stop or shift > 21:
                raise BrokenPacket("a PUBLISH packet ends within the length of its properties")
            length |= (buffer[at] & 0x7F) << shift
            more, at, shift = buffer[at] & 0x80 != 0, at + 1, shift + 7
        at += length
    if at > stop:
        raise BrokenPacket("a PUBLISH packet ends within its topic or properties")
    return Message(
        topic.decode("utf-8", "replace"), buffer[at:stop], now_us, packet_id, qos, head & 8 != 0, head & 1 != 0
    )
