"""A message as it came from the broker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Message:
    """`packet_id` is 0 for QoS 0. `received_us` is microseconds since 1970."""

    topic: str
    payload: bytes
    received_us: int
    packet_id: int = 0
    qos: int = 1
    duplicate: bool = False
    retained: bool = False

    @property
    def size_bytes(self) -> int:
        """Of topic (in characters) and content."""
        return len(self.topic) + len(self.payload)
