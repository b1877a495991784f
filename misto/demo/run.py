"""The order of things: servers, database, history, services, the city live, the account, the end."""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from catalogue.inventory import Inventory, read_inventory
from misto.demo.account import Account, Sent, Stored
from misto.demo.grafana import PROVISIONING, find_grafana, grafana_service
from misto.demo.supervisor import DemoError, Service, Supervisor, misto_program, port_for
from misto.history import demo_city_file, last_stored
from misto.runtime import Interrupted, MosquittoServer, PostgresServer, ServerFailed, ensure_binaries
from misto.runtime.binaries import runtime_dir
from misto.runtime.errors import EmbeddedRuntimeError
from misto.runtime.process import port_is_free, spawn, stop
from misto.settings import Settings
from store.connection import connect
from store.migrate import migrate, set_role_password
from store.queries import sql
from store.registry import sync_inventory

#: The last hours before now are not filled in bulk but played fast over MQTT.
LEAD = timedelta(hours=12)
#: The lead takes about this long, less in a short run.
_LEAD_PLAYED_S = 45.0
_LEAD_SHARE = 0.6
_THROUGH_WITHIN_S = 120.0

_Server = TypeVar("_Server", PostgresServer, MosquittoServer)


@dataclass
class Demo:
    """Brings everything up, keeps it up until `stop`, takes it down. `run` returns the exit status."""

    settings: Settings
    stop: threading.Event
    for_s: float | None
    history_days: float
    console: Console = field(default_factory=Console)

    def run(self) -> int:
        """Everything from start to end; whatever was started is stopped again. Raises `EmbeddedRuntimeError`."""
        try:
            folder = runtime_dir(self.settings.runtime_dir, self._say)
            with ExitStack() as stack:
                stack.enter_context(_only_one(folder))
                supervisor = Supervisor(folder / "logs", self._say, self.stop.is_set)
                return self._run(stack, folder, supervisor)
        except Interrupted:
            self._say("stopped")
            return 130
        except EmbeddedRuntimeError:
            if self.stop.is_set():
                return 130
            raise
        except OSError as error:
            raise DemoError(f"{error.filename or 'the demo'}: {error.strerror or error}") from error

    def _run(self, stack: ExitStack, folder: Path, supervisor: Supervisor) -> int:
        database_url, mqtt_url = self._servers(stack, folder, supervisor)
        environment = os.environ | {"MISTO_DATABASE_URL": database_url, "MISTO_MQTT_URL": mqtt_url}
        self._prepare(database_url, read_inventory(demo_city_file()))
        begin = self._history(database_url, environment, supervisor)
        stack.callback(supervisor.stop_all)
        self._start_services(folder, supervisor, database_url, environment)
        self._settle(supervisor.services[0])
        with connect(database_url, service="demo") as connection:
            row = connection.execute(sql("demo.last_quarantined")).fetchone()
            assert row is not None
            last_quarantined = int(row[0])
        summary = folder / "simulators.json"
        summary.unlink(missing_ok=True)
        simulators = self._simulators(begin, summary, environment)
        supervisor.start(simulators)
        self._tell(supervisor, database_url, mqtt_url, begin)
        self._watch(supervisor, summary)
        if self.for_s is None or self.stop.is_set():
            self._say("\nstopping everything …")
            return 0
        supervisor.stop(simulators)
        account = self._account(supervisor, database_url, summary, begin, last_quarantined)
        self._print(account)
        return 1 if account.wrong() else 0

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _servers(self, stack: ExitStack, folder: Path, supervisor: Supervisor) -> tuple[str, str]:
        """URLs of database and broker: the given ones, else private ones."""
        given = self.settings.model_fields_set
        database_url, mqtt_url = self.settings.database_url, self.settings.mqtt_url
        if {"database_url", "mqtt_url"} <= given:
            return database_url, mqtt_url
        binaries = ensure_binaries(folder, self._say, self.stop.is_set)
        self._say(f"PostgreSQL and Mosquitto: {binaries.origin}")
        data = folder / "data"
        if "database_url" not in given:
            postgres = self._server(
                stack,
                supervisor,
                "database",
                5432,
                lambda port, log: PostgresServer(binaries, data / "postgres", port=port, log=log),
            )
            database_url = postgres.url
        if "mqtt_url" not in given:
            mosquitto = self._server(
                stack,
                supervisor,
                "broker",
                1883,
                lambda port, log: MosquittoServer(binaries, data / "mosquitto", port=port, log=log),
            )
            mqtt_url = mosquitto.url
        self._pause()
        return database_url, mqtt_url

    def _server(
        self, stack: ExitStack, supervisor: Supervisor, name: str, wanted: int, make: Callable[[int, Path], _Server]
    ) -> _Server:
        """Started on the wanted port, or on another one, told, if that is taken or gets taken just now."""
        server = make(port_for(f"the {name}", wanted, self._say), supervisor.log_of(name))
        stack.callback(server.stop)
        try:
            server.start()
        except ServerFailed:
            server.stop()
            if port_is_free(server.port):
                raise
            server = make(port_for(f"the {name}", server.port, self._say), supervisor.log_of(name))
            stack.callback(server.stop)
            server.start()
        supervisor.servers[name] = server
        return server

    def _prepare(self, database_url: str, inventory: Inventory) -> None:
        """Schema and inventory. Raises `DemoError` if the database holds another city."""
        done = migrate(database_url)
        if done:
            self._say(f"database: {len(done)} migrations applied")
        with connect(database_url, service="demo") as connection:
            known = [site.id for site in inventory.sites]
            foreign = connection.execute(sql("demo.foreign_site"), {"known": known}).fetchone()
            if foreign is not None:
                raise DemoError(
                    f"the database that MISTO_DATABASE_URL names holds another city (with the site {foreign[0]!r}); "
                    "give the demo a database of its own"
                )
            change = sync_inventory(connection, inventory)
        self._say(f"inventory: {change.sites} sites, {change.points} points, {change.devices} devices")
        self._pause()

    def _history(self, database_url: str, environment: Mapping[str, str], supervisor: Supervisor) -> datetime:
        """Fill the past as far as it is not there; returns where the live part begins."""
        begin = datetime.now(UTC) - LEAD
        with connect(database_url, service="demo") as connection:
            stored = last_stored(connection)
            if stored is None:
                row = connection.execute(sql("demo.newest_reading")).fetchone()
                stored = row[0] if row else None
        if stored is not None and stored >= begin:
            self._say(f"history: there already, until {stored.astimezone():%d.%m. %H:%M}")
            return stored + timedelta(microseconds=1)
        command = [
            misto_program(),
            "simulate",
            "history",
            "--days",
            str(self.history_days),
            "--until",
            begin.isoformat(),
        ]
        filling = spawn(command, None, env=dict(environment))
        while filling.poll() is None:
            if self.stop.wait(0.1):
                stop(filling)
        self._pause()
        if filling.returncode != 0:
            raise DemoError("the history could not be filled; the lines above say why")
        return begin

    def _start_services(
        self, folder: Path, supervisor: Supervisor, database_url: str, environment: Mapping[str, str]
    ) -> None:
        """Everything but the simulators; ingest is the first of `supervisor.services`."""
        settings = self.settings
        grafana = self._grafana(folder, supervisor, database_url, environment)
        if grafana is not None:
            environment = {"MISTO_GRAFANA_URL": grafana.url, **environment}
        services = []
        for name, arguments, setting in (
            ("ingest", ["ingest"], "ingest_metrics_port"),
            ("rules", ["rules", "run"], "rules_metrics_port"),
            ("keeper", ["keeper"], "keeper_metrics_port"),
            ("board", ["board"], "board_port"),
        ):
            port = port_for(name, getattr(settings, setting), self._say)
            own = {**environment, f"MISTO_{setting.upper()}": str(port)}
            services.append(Service(name, [misto_program(), *arguments], port, own))
        supervisor.start(*services)
        if grafana is not None:
            supervisor.start(grafana)

    def _grafana(
        self, folder: Path, supervisor: Supervisor, database_url: str, environment: Mapping[str, str]
    ) -> Service | None:
        """Grafana, if this machine has one and its data source may log in."""
        command = find_grafana()
        if command is None or not PROVISIONING.exists():
            return None
        given = self.settings.read_password
        if given is not None:
            password = given.get_secret_value()
        elif "database" in supervisor.servers:
            password = secrets.token_urlsafe(18)
            set_role_password(database_url, "misto_read", password)
        else:
            self._say("Grafana is left out: MISTO_READ_PASSWORD does not say what misto_read logs in with")
            return None
        port = port_for("grafana", 3000, self._say)
        return grafana_service(command, folder / "data" / "grafana", port, database_url, password, environment)

    def _simulators(self, begin: datetime, summary: Path, environment: Mapping[str, str]) -> Service:
        played_s = _LEAD_PLAYED_S if self.for_s is None else min(_LEAD_PLAYED_S, self.for_s * _LEAD_SHARE)
        speed = max(1.0, (datetime.now(UTC) - begin).total_seconds() / max(played_s, 1.0))
        port = port_for("simulators", self.settings.simulator_metrics_port, self._say)
        command = [
            misto_program(), "simulate", "run", "--from", begin.isoformat(), "--speed", f"{speed:.0f}",
            "--summary", str(summary),
        ]  # fmt: skip
        return Service("simulators", command, port, {**environment, "MISTO_SIMULATOR_METRICS_PORT": str(port)})

    def _settle(self, ingest: Service) -> None:
        """Wait until ingest has taken what an earlier run left at the broker, so that it is not counted as ours."""
        seen, quiet_since = -1.0, time.monotonic()
        while time.monotonic() - quiet_since < 1:
            now = _messages_through(ingest)
            if now != seen:
                seen, quiet_since = now, time.monotonic()
            self._pause()
            time.sleep(0.1)

    def _tell(self, supervisor: Supervisor, database_url: str, mqtt_url: str, begin: datetime) -> None:
        pids = {name: server.pid for name, server in supervisor.servers.items()}
        rows = [("database", database_url, pids.get("database")), ("broker", mqtt_url, pids.get("broker"))]
        links = {service.name: service.url for service in supervisor.services}
        for service in supervisor.services:
            where = service.url if service.name in {"board", "grafana"} else f"{service.url}metrics"
            rows.append((service.name, where, service.process.pid if service.process else None))
        width = max(len(where) for _, where, _ in rows)
        self._say(f"\n{'what':<11} {'where':<{width}} process")
        for name, where, pid in rows:
            self._say(f"{name:<11} {where:<{width}} {pid or 'yours'}")
        self._say(f"\nLogs are in {supervisor.logs}")
        self._say(f"Open  {links['board']}  in a browser.")
        if "grafana" in links:
            self._say(f"Grafana is at  {links['grafana']}")
        else:
            self._say("There is no Grafana on this machine: the board shows the city by itself.")
        hours = (datetime.now(UTC) - begin).total_seconds() / 3600
        if hours > 0.1:
            self._say(f"The last {hours:.1f} hours are played fast, then the city goes on as time goes.")
        self._say("Stop with Ctrl-C. The data stays; `make clean` removes it.\n")

    def _watch(self, supervisor: Supervisor, summary: Path) -> None:
        deadline = None if self.for_s is None else time.monotonic() + self.for_s
        told_at, caught_up = time.monotonic(), False
        while not self.stop.is_set() and (deadline is None or time.monotonic() < deadline):
            supervisor.check()
            sent = Sent.read(summary)
            due = 60 if caught_up else 10
            if sent is not None and (sent.caught_up != caught_up or time.monotonic() - told_at > due):
                told_at, caught_up = time.monotonic(), sent.caught_up
                at = datetime.fromtimestamp(sent.city_time_us / 1e6).astimezone()
                pace = "as time goes" if caught_up else "fast"
                self._say(f"city time {at:%d.%m. %H:%M} ({pace}), {sent.acknowledged:,} messages sent")
            self.stop.wait(0.2)

    def _account(
        self, supervisor: Supervisor, database_url: str, summary: Path, begin: datetime, last_quarantined: int
    ) -> Account:
        """Wait until everything sent is through, and count."""
        sent = Sent.read(summary)
        if sent is None:
            raise DemoError(f"the simulators have not said what they sent; see {supervisor.log_of('simulators')}")
        lasted = timedelta(seconds=self.for_s or 0)
        covered = max(timedelta(), datetime.fromtimestamp(sent.city_time_us / 1e6, UTC) - begin)
        deadline = time.monotonic() + _THROUGH_WITHIN_S
        with connect(database_url, service="demo", autocommit=True) as connection:
            while True:
                stored = Stored.count(connection, begin, last_quarantined)
                account = Account(sent, stored, lasted, covered, dict(supervisor.ended))
                if account.is_through() or time.monotonic() > deadline:
                    return account
                supervisor.check()
                self._pause()
                time.sleep(0.5)

    def _print(self, account: Account) -> None:
        table = Table(show_header=False, box=None)
        for row in account.rows():
            table.add_row(*row)
        self._say("\nsummary")
        self.console.print(table)
        for sentence in account.wrong():
            self._say(f"WRONG: {sentence}")
        if not account.wrong():
            self._say("everything is as it must be")

    def _pause(self) -> None:
        """A place where the demo may be stopped."""
        if self.stop.is_set():
            raise Interrupted


def _messages_through(ingest: Service) -> float:
    families = text_string_to_metric_families(ingest.get("/metrics"))
    return sum(
        sample.value
        for family in families
        if family.name == "misto_ingest_messages"
        for sample in family.samples
        if sample.name.endswith("_total")
    )


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"a demo runs already in {folder}; stop it with Ctrl-C where it was started") from None
        yield
