"""Envelopes: how each format carries device, time and fields. One file each."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from ingest.envelopes import chirpstack_v4, plain_json, tasmota
from ingest.envelopes.base import Envelope, NotAReading, Uplink

__all__ = ["Envelope", "NotAReading", "Uplink", "all_envelopes"]


def all_envelopes(zone: ZoneInfo) -> tuple[Envelope, ...]:
    """Every envelope, the more particular first: plain JSON takes whatever names a device.

    `zone` is where devices live that send local times without a zone.
    """
    return (chirpstack_v4.ENVELOPE, tasmota.make_envelope(zone), plain_json.ENVELOPE)
