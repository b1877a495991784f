"""A whole city on this machine: servers, database, history, and every service as a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from catalogue.inventory import read_inventory
from misto.cli.simulate import demo_city_file
from misto.history import last_stored
from misto.runtime import MosquittoServer, PostgresServer, ensure_binaries
from misto.runtime.binaries import runtime_dir
from misto.runtime.errors import EmbeddedRuntimeError
from misto.runtime.process import free_port, port_is_free, spawn, stop, tail
from misto.settings import Settings
from store.connection import connect
from store.migrate import migrate
from store.queries import sql
from store.registry import sync_inventory

#: The last hours before now are not filled in bulk but played fast over MQTT.
LEAD = timedelta(hours=12)
#: The lead takes about this long.
LEAD_PLAYED_S = 45.0
_RESTARTS = 3


class DemoError(EmbeddedRuntimeError):
    """The demo cannot go on; the text says why."""


@dataclass
class Service:
    """One process of the demo."""

    name: str
    arguments: list[str]
    port: int
    path: str = "/healthz"
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0


@dataclass
class Demo:
    """Brings everything up, keeps it up until `stop`, takes it down. `run` returns the exit status."""

    settings: Settings
    stop: threading.Event
    for_s: float | None
    history_days: float
    console: Console = field(default_factory=Console)

    def run(self) -> int:
        """Everything from start to end; whatever was started is stopped again."""
        folder = runtime_dir(self.settings.runtime_dir, self._say)
        with ExitStack() as stack:
            stack.enter_context(_only_one(folder))
            logs = folder / "logs"
            database_url, mqtt_url = self._servers(stack, folder, logs)
            environment = os.environ | {"MISTO_DATABASE_URL": database_url, "MISTO_MQTT_URL": mqtt_url}
            self._prepare(database_url)
            begin = self._history(database_url, environment)
            if self.stop.is_set():
                return 130
            started = datetime.now(UTC)
            summary = folder / "simulators.json"
            summary.unlink(missing_ok=True)
            services = self._services(begin, summary)
            stack.callback(self._stop_all, services)
            for service in services:
                self._start(service, environment, logs)
            self._wait_well(services, logs)
            self._tell(services, database_url, mqtt_url, logs)
            self._watch(services, environment, logs, summary)
            if self.for_s is None:
                self.console.print("\nstopping everything …")
                return 0
            return self._judge(services, database_url, summary, started, begin)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def _servers(self, stack: ExitStack, folder: Path, logs: Path) -> tuple[str, str]:
        """URLs of database and broker: the given ones, else private ones."""
        given = self.settings.model_fields_set
        database_url, mqtt_url = self.settings.database_url, self.settings.mqtt_url
        if {"database_url", "mqtt_url"} <= given:
            return database_url, mqtt_url
        binaries = ensure_binaries(folder, self._say)
        self._say(f"PostgreSQL and Mosquitto: {binaries.origin}")
        if "database_url" not in given:
            postgres = PostgresServer(binaries, folder / "data" / "postgres", log=logs / "postgres.log")
            postgres.start()
            stack.callback(postgres.stop)
            database_url = postgres.url
        if "mqtt_url" not in given:
            port = 1883 if port_is_free(1883) else free_port()
            mosquitto = MosquittoServer(binaries, folder / "data" / "mosquitto", port=port, log=logs / "mosquitto.log")
            mosquitto.start()
            stack.callback(mosquitto.stop)
            mqtt_url = mosquitto.url
        return database_url, mqtt_url

    def _prepare(self, database_url: str) -> None:
        done = migrate(database_url)
        if done:
            self._say(f"database: {len(done)} migrations applied")
        with connect(database_url, service="demo") as connection:
            change = sync_inventory(connection, read_inventory(demo_city_file()))
        self._say(f"inventory: {change.sites} sites, {change.points} points, {change.devices} devices")

    def _history(self, database_url: str, environment: dict[str, str]) -> datetime:
        """Fill the past; returns where the live part begins."""
        begin = datetime.now(UTC) - LEAD
        with connect(database_url, service="demo") as connection:
            stored = last_stored(connection)
            if stored is None:
                row = connection.execute(sql("demo.newest_reading")).fetchone()
                stored = row[0] if row else None
        if stored is not None and stored >= begin:
            return stored + timedelta(microseconds=1)
        command = [_misto(), "simulate", "history", "--days", str(self.history_days), "--until", begin.isoformat()]
        filling = subprocess.Popen(command, env=environment)
        while filling.poll() is None:
            if self.stop.is_set():
                filling.terminate()
            time.sleep(0.1)
        if filling.returncode != 0 and not self.stop.is_set():
            raise DemoError("the history could not be filled; the lines above say why")
        return begin

    def _services(self, begin: datetime, summary: Path) -> list[Service]:
        settings = self.settings
        lead_s = (datetime.now(UTC) - begin).total_seconds()
        speed = max(1.0, lead_s / LEAD_PLAYED_S)
        simulate = [
            "simulate",
            "run",
            "--from",
            begin.isoformat(),
            "--speed",
            f"{speed:.0f}",
            "--summary",
            str(summary),
        ]
        wanted = [
            ("ingest", ["ingest"], settings.ingest_metrics_port),
            ("rules", ["rules", "run"], settings.rules_metrics_port),
            ("keeper", ["keeper"], settings.keeper_metrics_port),
            ("board", ["board"], settings.board_port),
            ("simulators", simulate, settings.simulator_metrics_port),
        ]
        return [
            Service(name, arguments, port if port_is_free(port) else free_port()) for name, arguments, port in wanted
        ]

    def _start(self, service: Service, environment: dict[str, str], logs: Path) -> None:
        names = {
            "ingest": "MISTO_INGEST_METRICS_PORT",
            "rules": "MISTO_RULES_METRICS_PORT",
            "keeper": "MISTO_KEEPER_METRICS_PORT",
            "board": "MISTO_BOARD_PORT",
            "simulators": "MISTO_SIMULATOR_METRICS_PORT",
        }
        own = environment | {names[service.name]: str(service.port)}
        service.process = spawn([_misto(), *service.arguments], logs / f"{service.name}.log", env=own)

    def _wait_well(self, services: list[Service], logs: Path) -> None:
        deadline = time.monotonic() + 60
        for service in services:
            while not _get(service.port, service.path) and not self.stop.is_set():
                self._raise_if_dead(service, logs)
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"{service.name} does not get well; its log says:\n{tail(logs / f'{service.name}.log')}"
                    )
                time.sleep(0.1)

    def _raise_if_dead(self, service: Service, logs: Path) -> None:
        assert service.process is not None
        if service.process.poll() is not None:
            log = logs / f"{service.name}.log"
            raise DemoError(
                f"{service.name} ended with status {service.process.returncode}; its log says:\n{tail(log)}"
            )

    def _tell(self, services: list[Service], database_url: str, mqtt_url: str, logs: Path) -> None:
        table = Table(show_header=True, header_style="bold", box=None)
        for heading in ("what", "where", "process"):
            table.add_column(heading)
        table.add_row("database", database_url, "")
        table.add_row("broker", mqtt_url, "")
        for service in services:
            assert service.process is not None
            path = "" if service.name == "board" else "metrics"
            table.add_row(service.name, f"http://127.0.0.1:{service.port}/{path}", str(service.process.pid))
        self.console.print()
        self.console.print(table)
        board = next(service for service in services if service.name == "board")
        self._say(f"\nLogs: {logs}")
        self._say(f"Open  http://127.0.0.1:{board.port}/  in a browser.")
        self._say("The last twelve hours are played in about a minute, then the city goes on as time goes.")
        self._say("Stop with Ctrl-C. The data stays; `make clean` removes it.")

    def _watch(self, services: list[Service], environment: dict[str, str], logs: Path, summary: Path) -> None:
        deadline = None if self.for_s is None else time.monotonic() + self.for_s
        told = 0.0
        while not self.stop.is_set() and (deadline is None or time.monotonic() < deadline):
            for service in services:
                assert service.process is not None
                if service.process.poll() is None:
                    continue
                log = logs / f"{service.name}.log"
                self._say(f"{service.name} ended with status {service.process.returncode}; its log says:\n{tail(log)}")
                service.restarts += 1
                if service.restarts > _RESTARTS:
                    raise DemoError(f"{service.name} has ended {service.restarts} times; giving up")
                self._start(service, environment, logs)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self._progress(summary)
            self.stop.wait(0.2)

    def _progress(self, summary: Path) -> None:
        now = _summary(summary)
        if now:
            at = datetime.fromtimestamp(now["city_time_us"] / 1e6).astimezone()
            pace = "as time goes" if now["caught_up"] else "fast"
            self._say(f"city time {at:%d.%m. %H:%M} ({pace}), {now['acknowledged']:,} messages sent")

    def _judge(
        self, services: list[Service], database_url: str, summary: Path, started: datetime, begin: datetime
    ) -> int:
        """Stop the simulators, wait until all is through, count, and say whether it is as it must be."""
        by_name = {service.name: service for service in services}
        simulators = by_name["simulators"].process
        assert simulators is not None
        stop(simulators, wait_s=30)
        sent = _summary(summary)
        if not sent:
            raise DemoError("the simulators have not said what they sent")
        outcomes: dict[str, float] = {}
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            outcomes = _counted(by_name["ingest"].port, "misto_ingest_messages")
            with connect(database_url, service="demo") as connection:
                row = connection.execute(sql("demo.waiting")).fetchone()
            if sum(outcomes.values()) >= sent["acknowledged"] and row == (0,):
                break
            time.sleep(0.2)
        readings = _counted(by_name["ingest"].port, "misto_ingest_readings")
        with connect(database_url, service="demo") as connection:
            row = connection.execute(sql("demo.counts"), {"started": started, "begin": begin}).fetchone()
            assert row is not None
            raised, resolved, quarantined, open_now = row
        received = sum(outcomes.values())
        table = Table(title="summary", show_header=False, box=None)
        for name, value in (
            ("messages sent, acknowledged by the broker", f"{sent['acknowledged']:,} of {sent['sent']:,}"),
            ("messages through ingest", f"{received:,.0f}"),
            ("readings stored", f"{readings.get('stored', 0):,.0f}"),
            ("readings that were there already", f"{readings.get('duplicate', 0):,.0f}"),
            ("messages in quarantine", f"{quarantined:,} of {sent['garbage']:,} unreadable ones sent"),
            ("alerts raised / resolved / open now", f"{raised:,} / {resolved:,} / {open_now:,}"),
        ):
            table.add_row(name, value)
        self.console.print()
        self.console.print(table)
        wrong = []
        if sent["acknowledged"] < sent["sent"]:
            wrong.append(f"{sent['sent'] - sent['acknowledged']} messages were not acknowledged by the broker")
        if received < sent["acknowledged"]:
            wrong.append(f"{sent['acknowledged'] - received:.0f} messages did not come through")
        if not readings.get("stored"):
            wrong.append("no reading was stored")
        if quarantined != sent["garbage"]:
            wrong.append(f"{quarantined} messages are in quarantine, {sent['garbage']} were unreadable")
        if sent["caught_up"] and started - begin > LEAD / 2 and not (raised and resolved):
            wrong.append("in these hours alerts must be raised and resolved, and were not")
        for sentence in wrong:
            self._say(f"WRONG: {sentence}")
        if not wrong:
            self._say("everything is as it must be")
        return 1 if wrong else 0

    def _stop_all(self, services: list[Service]) -> None:
        # Those that write stop before those that they write to; each has its own time to finish.
        for service in reversed(services):
            if service.process is not None and service.process.poll() is None:
                service.process.terminate()
        for service in services:
            if service.process is not None:
                stop(service.process)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"a demo runs already in {folder}; stop it with Ctrl-C where it was started") from None
        yield


def _misto() -> str:
    beside = Path(sys.executable).with_name("misto")
    return str(beside) if beside.exists() else shutil.which("misto") or "misto"


def _get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return ""


def _counted(port: int, name: str) -> dict[str, float]:
    """Samples of a counter by their outcome."""
    return {
        sample.labels.get("outcome", ""): sample.value
        for family in text_string_to_metric_families(_get(port, "/metrics"))
        if family.name == name
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def _summary(path: Path) -> dict[str, int]:
    try:
        content: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
