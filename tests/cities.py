"""A small city for the tests."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from catalogue.inventory import Inventory, read_inventory
from misto.history import demo_city_file, demo_scenario_file, fill_history
from misto.keeper import Keeper, KeeperConfig
from simulators.city import City
from simulators.scenario import read_scenario
from store.connection import connect
from store.reading_log import lag
from store.registry import register_unclaimed, sync_inventory
from tests.processes import Process, wait_for


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


def fill_demo_city(url: str, days: float, log: Path) -> None:
    """The demo city's last days in a database, as the services would leave it."""
    now_us = time.time_ns() // 1000
    demo = read_inventory(demo_city_file())
    with connect(url, service="test") as connection:
        sync_inventory(connection, demo)
        register_unclaimed(connection, "stranger", profile=None, kind="weather", guess={"envelope": "plain_json"})
        connection.commit()
        city = City(demo, read_scenario(demo_scenario_file())[0])
        fill_history(connection, city, round(now_us - days * 86_400e6), now_us, lambda *_: None, threading.Event())
        keeper = Keeper(KeeperConfig(url, 36500, 7, 90), threading.Event())
        while keeper.derive(connection):
            pass
        keeper.forecast_all(connection)
        with Process("rules", "run", log=log, port_setting="rules_metrics_port", database_url=url) as rules:

            def judged() -> bool:
                behind = lag(connection, "rules").batches
                connection.rollback()
                return behind == 0

            wait_for(judged, f"the rules have judged everything: {log.read_text()}", 120)
            assert rules.stop() == 0
