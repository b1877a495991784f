"""Envelopes: how each format carries device, time and fields. One file each.

Every module here that has a function `make(zone)` adds its envelopes; a new format touches no other file.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from zoneinfo import ZoneInfo

from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink

__all__ = ["Announcement", "Envelope", "NotAReading", "Uplink", "all_envelopes"]


def all_envelopes(zone: ZoneInfo) -> tuple[Envelope, ...]:
    """Every envelope, the more particular first (`Envelope.rank`).

    `zone` is where devices live that send local times without a zone.
    """
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    envelopes = [envelope for module in modules if hasattr(module, "make") for envelope in module.make(zone)]
    return tuple(sorted(envelopes, key=lambda envelope: (envelope.rank, envelope.name)))
