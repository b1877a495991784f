"""What the broker answers a publisher: PUBACK, PINGRESP and DISCONNECT, cut out in bulk of what arrives.

Source of the packet layout: MQTT 5.0, sections 2.1, 3.4, 3.13 and 3.14 (3.1.1 has PUBACK without a reason code).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

#: Reason codes from here on say that the message was not taken.
FAILURE_FROM = 0x80

_PUBACK, _PINGRESP, _DISCONNECT = 0x40, 0xD0, 0xE0
# So many packets are compared at once, and more while all are alike.
_FEW, _TIMES_MORE = 64, 8

Ids = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class BrokenAnswer(ConnectionError):
    """What the broker sends is no answer to a publisher; its text says why."""


class SessionEnded(ConnectionError):
    """The broker has ended the session; its text says why."""


class Answers:
    """Bytes in, acknowledgements out; what is not yet a whole packet waits for its rest."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[Ids, Bytes]]:
        """Packet ids with their reason codes, as the broker sent them; to be read to the end.

        Raises `BrokenAnswer` or `SessionEnded`, after the acknowledgements that came before.
        """
        buffer = self._rest + data
        at, few = 0, _FEW
        while (layout := _layout(buffer, at)) is not None:
            head_bytes, size = layout
            count = min(few, (len(buffer) - at) // size)
            if not count:
                break
            packets = np.frombuffer(buffer, np.uint8, count * size, at).reshape(count, size)
            alike = (packets[:, :head_bytes] == packets[0, :head_bytes]).all(axis=1)
            few = few * _TIMES_MORE if alike.all() else _FEW
            if not alike.all():
                packets = packets[: alike.argmin()]
            at += packets.size
            yield from _read(int(packets[0, 0]), packets[:, head_bytes:])
        self._rest = buffer[at:]


def _layout(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Bytes of the head and of the whole of the packet at `at`; None if its head is not complete."""
    length = 0
    for place in range(4):
        if at + 1 + place >= len(buffer):
            return None
        byte = buffer[at + 1 + place]
        length |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return 2 + place, 2 + place + length
    raise BrokenAnswer("it sends a packet whose length has more than four bytes")


def _read(head: int, bodies: Bytes) -> Iterator[tuple[Ids, Bytes]]:
    length = bodies.shape[1]
    if head == _PUBACK and length >= 2:
        ids = bodies[:, 0].astype(np.int64) << 8 | bodies[:, 1]
        yield ids, bodies[:, 2] if length > 2 else np.zeros(len(ids), np.uint8)
    elif head == _DISCONNECT:
        code = int(bodies[0, 0]) if length else 0
        raise SessionEnded(f"it ended the session ({reason_text(PacketTypes.DISCONNECT, code)})")
    elif head != _PINGRESP or length:
        raise BrokenAnswer(f"it sends what is no answer to a publisher (packet 0x{head:02x} of {length} bytes)")


def reason_text(packet_type: int, code: int) -> str:
    """A reason code in words; where MQTT knows none for this type of packet, its number."""
    try:
        return str(ReasonCode(packet_type, identifier=code))
    except (KeyError, AssertionError, ValueError):
        return f"reason 0x{code:02x}"
