"""The city under test: servers, lines that can be broken, and Misto's processes, which faults kill and start again."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from misto.runtime import Binaries, MosquittoServer, PostgresServer
from store.migrate import migrate
from tests.cities import found
from tests.delivery.messages import Plan
from tests.delivery.proxy import Line
from tests.delivery.publisher import NumberedPublisher
from tests.processes import Process, wait_for

#: The broker writes its queues to disk so often; a kill forgets what it took since.
AUTOSAVE_S = 2
_SMALL_DISK_MB = 900
SHARE = "city"


def postgres_settings() -> dict[str, str]:
    """For a small disk and many restarts; fsync stays on."""
    return {
        "shared_buffers": "128MB", "max_connections": "60", "timescaledb.max_background_workers": "0",
        "max_worker_processes": "8", "max_wal_size": "160MB", "min_wal_size": "80MB", "wal_keep_size": "0",
        "log_min_messages": "fatal",
    }  # fmt: skip


@dataclass
class World:
    """Everything that can break. `say` prints a line of the run's diary."""

    folder: Path
    binaries: Binaries
    plan: Plan
    rate_per_s: float
    say: Callable[[str], None]
    #: Whether the workers share a subscription; if not there is one.
    shared: bool
    workers: dict[str, Process] = field(default_factory=dict)
    rules: dict[str, Process] = field(default_factory=dict)
    #: (from, to), monotonic: what the broker acknowledged in between it may have forgotten when it was killed.
    forgettable: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        # A server ends with the thread that started it: this one lasts.
        self._starter = self._stack.enter_context(ThreadPoolExecutor(1))
        self.ending = threading.Event()
        self.clock = self.folder / "clock"
        self.clock.write_text("0")
        self.small_disk = self._mount(self.folder / "disk")

    def __enter__(self) -> World:
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        for process in [*self.workers.values(), *self.rules.values()]:
            process.__exit__()
        self._stack.close()

    def _begin(self) -> None:
        place = self.small_disk or self.folder
        self.postgres = PostgresServer(self.binaries, place / "postgres", settings=postgres_settings())
        self._stack.callback(self.postgres.stop)
        self.start(self.postgres)
        migrate(self.postgres.url)
        with self.database() as connection:
            found(connection, *self.plan.sites)
        self.mosquitto = MosquittoServer(
            self.binaries, self.folder / "mosquitto", extra=f"autosave_interval {AUTOSAVE_S}"
        )
        self._stack.callback(self.mosquitto.stop)
        self.start(self.mosquitto)
        self.broker_line, self.database_line = Line(self.mosquitto.port), Line(self.postgres.port)
        self._stack.callback(self.broker_line.close)
        self._stack.callback(self.database_line.close)
        self.start_worker("one")
        self.start_rules("one")
        self.workers["one"].wait_well()
        self.publisher = NumberedPublisher(self.plan, self.mosquitto.port, self.rate_per_s)
        self._stack.callback(self.publisher.close)

    def _mount(self, folder: Path) -> Path | None:
        """A small disk of its own for the database; None where only root may make one."""
        folder.mkdir()
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK_MB}m,mode=755", "misto-delivery", folder],
            capture_output=True, check=False,
        ).returncode == 0  # fmt: skip
        if not mounted:
            return None
        self._stack.callback(subprocess.run, ["umount", "-l", folder], check=False)
        return folder

    def start(self, server: PostgresServer | MosquittoServer) -> None:
        """Start a server."""
        self._starter.submit(server.start).result()

    def database(self) -> psycopg.Connection[Any]:
        """A connection of the harness's own, past the line that breaks."""
        return psycopg.connect(self.postgres.url, autocommit=True, options="-c TimeZone=UTC")

    def start_worker(self, name: str) -> None:
        """An ingest process behind the lines, with a clock that can be stepped."""
        self.workers[name] = self._ingest("ingest", name)

    def leave(self, name: str) -> None:
        """End a stopped worker's session for good; tried again where a fault comes between."""
        for _ in range(5):
            with self._ingest("ingest --leave", name) as leaving:
                if leaving.wait(120) == 0:
                    return
        raise AssertionError(f"worker {name} cannot leave: {leaving.log.read_text()[-2000:]}")

    def _ingest(self, command: str, name: str) -> Process:
        return self._process(
            command, f"ingest-{name}", "ingest_metrics_port",
            mqtt_url=f"mqtt://127.0.0.1:{self.broker_line.port}", mqtt_client_id=f"worker-{name}", mqtt_share=SHARE if self.shared else "",
            mqtt_topics="misto/#",
        )  # fmt: skip

    def start_rules(self, name: str) -> None:
        self.rules[name] = self._process("rules run", f"rules-{name}", "rules_metrics_port", rules_worker=name)

    def _process(self, command: str, log: str, port_setting: str, **settings: object) -> Process:
        parts = urlsplit(self.postgres.url)
        through_line = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{self.database_line.port}")
        return Process(
            *command.split(), log=self.folder / f"{log}.log", port_setting=port_setting,
            program=(str(Path(__file__).with_name("stepped_clock.py")), str(self.clock)),
            database_url=urlunsplit(through_line), **settings,
        )  # fmt: skip

    def stored_count(self) -> int:
        with self.database() as connection:
            row = connection.execute("SELECT count(*) FROM readings").fetchone()
            assert row is not None
            return int(row[0])

    def settle(self, wait_s: float) -> None:
        """Wait until the workers hold nothing and the broker keeps nothing for them: nothing new comes for a while."""
        self.publisher.settle(wait_s)
        deadline = time.monotonic() + wait_s
        before, since = -1, time.monotonic()
        while time.monotonic() - since < 4:
            assert time.monotonic() < deadline, f"readings still come in after {wait_s} s: {self.health()}"
            time.sleep(0.2)
            now = self.stored_count()
            if now != before or any(status != 200 for status, _ in self.health().values()):
                before, since = now, time.monotonic()

    def health(self) -> dict[str, tuple[int, str]]:
        """Status and sentence of each process; the status of one that has ended is negative."""
        return {
            process.log.stem: process.health() if process.ended() is None else (-1, f"ended with {process.ended()}")
            for process in [*self.workers.values(), *self.rules.values()]
        }

    def wait_judged(self, wait_s: float = 120) -> None:
        """Wait until the rules have judged all of the log."""
        from store.reading_log import lag

        with self.database() as connection:
            wait_for(lambda: lag(connection, "rules").batches == 0, "the rules have judged everything", wait_s)
