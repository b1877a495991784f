"""Misto's processes for the benchmarks: started, asked for their metrics, and how much memory they hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from misto.runtime.process import free_port


@dataclass(frozen=True)
class Worker:
    """A running process of Misto that serves its metrics on `port`."""

    pid: int
    port: int

    def metrics(self) -> dict[str, float]:
        """Value by name; those with labels by name and value of the last label, as `name/stored`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            "/".join([sample.name, *list(sample.labels.values())[-1:]]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def stored(self) -> tuple[float, float]:
        """Readings that ingest says are committed, and when it committed the last ones (seconds since 1970)."""
        now = self.metrics()
        return (
            now.get("misto_ingest_readings_total/stored", 0.0),
            now.get("misto_ingest_last_reading_timestamp_seconds", 0.0),
        )


@contextmanager
def process(path: Path, arguments: list[str], port_setting: str, settings: dict[str, str]) -> Iterator[Worker]:
    """`misto` with these arguments and settings, and no others, until the end; its log is in `path`."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MISTO_")}
    with (path / f"{arguments[0]}.log").open("ab") as log:
        running = subprocess.Popen(
            [Path(sys.executable).with_name("misto"), *arguments],
            env=environment | settings | {port_setting: str(port)},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield Worker(running.pid, port)
    finally:
        running.send_signal(signal.SIGCONT)
        running.terminate()
        running.wait()


@contextmanager
def ingest(path: Path, database_url: str, mqtt_url: str, **settings: str) -> Iterator[Worker]:
    """One ingest worker, connected."""
    urls = {"MISTO_DATABASE_URL": database_url, "MISTO_MQTT_URL": mqtt_url}
    with process(path, ["ingest"], "MISTO_INGEST_METRICS_PORT", urls | settings) as worker:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/healthz", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield worker


def resident_mb(pid: int) -> tuple[float, float]:
    """Resident size of a process in megabytes (10^6 bytes), now and at its highest. Linux only."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024 / 1e6, int(lines["VmHWM"].split()[0]) * 1024 / 1e6
