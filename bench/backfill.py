"""Import: from a CSV file to committed rows, end to end, and the consumption of what came."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.results import of_three, show
from bench.servers import folder, postgres
from catalogue.inventory import Inventory
from misto.backfill.run import Importer, Plan
from misto.keeper import Keeper, KeeperConfig
from store.backfill import points_by_code
from store.connection import connect
from store.registry import load_registry, sync_inventory

METRICS = ("energy_kwh", "power_w", "voltage_v")
POINTS = 100


class Quiet:
    """Nobody watches."""

    def reading(self, records: int) -> None: ...

    def taken_up(self, state: object) -> None: ...

    def progress(self, *unused: object) -> None: ...


def city(points: int) -> Inventory:
    """Electricity meters `meter-0` and so on, each at a point of its own."""
    text = {"en": "Bench", "uk": "Стенд"}
    its = [
        {"id": f"point-{n}", "kind": "electricity", "interval": "15m", "devices": [{"address": f"meter-{n}"}]}
        for n in range(points)
    ]
    place = {"latitude": 48.9, "longitude": 24.7}
    site = {"id": "bench", "kind": "building", "name": text, **place, "points": its}
    return Inventory.model_validate({"version": 1, "city": {"name": text, **place}, "sites": [site]})


def write_file(path: Path, rows: int, begin: datetime, by_device: bool) -> None:
    """Quarter hours of `POINTS` meters with three metrics, in order of time or meter by meter."""
    steps = rows // (POINTS * len(METRICS))
    times = [(begin + timedelta(minutes=15 * step)).strftime("%Y-%m-%dT%H:%M:%SZ") for step in range(steps)]
    pairs = [(step, point) for step in range(steps) for point in range(POINTS)]
    if by_device:
        pairs.sort(key=lambda pair: pair[1])
    with path.open("w", encoding="utf-8") as file:
        file.write("time,device,metric,value\n")
        for step, point in pairs:
            at = times[step]
            file.write(
                f"{at},meter-{point},energy_kwh,{1000 + step * 0.37:.2f}\n"
                f"{at},meter-{point},power_w,{(step * 7 + point) % 5000}\n"
                f"{at},meter-{point},voltage_v,{225 + step % 11}\n"
            )


def run(quick: bool) -> None:
    """Print rows a second."""
    rows = 300_000 if quick else 1_500_000
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=700)
    with folder() as path, postgres(path) as server, connect(server.url, service="bench") as connection:
        sync_inventory(connection, city(POINTS))
        connection.commit()
        turn = 0

        def import_file(by_device: bool, again: bool = False) -> float:
            nonlocal turn
            turn += not again
            file = path / "history.csv"
            if not again:
                write_file(file, rows, begin + timedelta(days=turn * rows / POINTS / 3 / 96), by_device)
            plan = Plan(file, None, ZoneInfo("Europe/Kyiv"), path / "rejects.csv", "stop", 0, 36_500)
            importer = Importer(plan, Quiet(), threading.Event())
            with connect(server.url, service="bench-import") as its:
                places = importer.places(load_registry(connection), points_by_code(connection), None)
                connection.rollback()
                began = time.perf_counter()
                outcome = importer.run(its, places)
                took = time.perf_counter() - began
            assert outcome.stored == (0 if again else outcome.records), outcome
            return outcome.records / took

        goal = 100_000
        show("import: CSV in order of time to committed", of_three(lambda: import_file(False)), "rows/s", goal)
        show("import: the same file again, nothing new", of_three(lambda: import_file(False, again=True)), "rows/s")
        began = time.perf_counter()
        keeper = Keeper(KeeperConfig(server.url, 36_500, 7, 90), threading.Event())
        while keeper.derive(connection):
            pass
        connection.rollback()
        show("keeper: consumption of what was imported", 3 * rows / (time.perf_counter() - began), "readings/s")
        show("import: CSV meter by meter to committed", of_three(lambda: import_file(True)), "rows/s", goal)
