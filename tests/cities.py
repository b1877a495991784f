"""A small city for the tests."""

from __future__ import annotations

from typing import Any

import psycopg

from catalogue.inventory import Inventory
from store.registry import sync_inventory


def text(name: str) -> dict[str, str]:
    return {"en": name, "uk": f"{name} (укр)"}


def bins(count: int, interval: str = "30m") -> dict[str, Any]:
    """A stand of bins `bin-0`, `bin-1`, … with devices `dev-0`, …"""
    return {
        "id": "stand", "kind": "stand", "name": text("Stand"), "zone": "centre", "latitude": 48.92, "longitude": 24.71,
        "points": [
            {
                "id": f"bin-{number}", "kind": "bin", "fraction": "paper", "contractor": "clean", "interval": interval,
                "bin": {"empty_mm": 1500, "full_mm": 300}, "devices": [{"address": f"dev-{number}"}],
            }
            for number in range(count)
        ],
    }  # fmt: skip


def building(name: str = "school", **points: dict[str, Any]) -> dict[str, Any]:
    """A school with the given points, by default one electricity and one water meter."""
    points = points or {"electricity": {}, "water": {}}
    return {
        "id": name, "kind": "building", "name": text(name.title()), "use": "school", "zone": "centre",
        "latitude": 48.93, "longitude": 24.72, "floor_area_m2": 2000,
        "points": [
            {"id": f"{name}-{kind}", "kind": kind, "interval": "15m",
             "devices": [{"address": f"{name}-{kind}-meter"}], **more}
            for kind, more in points.items()
        ],
    }  # fmt: skip


def inventory(*sites: dict[str, Any]) -> Inventory:
    """An inventory of these sites."""
    return Inventory.model_validate(
        {
            "version": 1,
            "city": {"name": text("Town"), "latitude": 48.92, "longitude": 24.71},
            "zones": [{"id": "centre", "name": text("Centre")}],
            "contractors": [{"id": "clean", "name": text("Clean")}],
            "tariffs": [{"kind": "electricity", "price": 4.5, "valid_from": "2025-01-01"}],
            "sites": list(sites),
        }
    )


def found(connection: psycopg.Connection[Any], *sites: dict[str, Any]) -> dict[str, int]:
    """Load a city of these sites; returns the point ids by code."""
    sync_inventory(connection, inventory(*sites))
    return dict(connection.execute("SELECT code, point_id FROM point").fetchall())
