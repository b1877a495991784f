"""Real processes of Misto for the tests, and a publisher that counts what the broker acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from misto.runtime.process import free_port


def environment(**settings: object) -> dict[str, str]:
    """The environment of a process with these settings (`database_url=…` is MISTO_DATABASE_URL) and no others."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MISTO_")}
    return clean | {f"MISTO_{name.upper()}": str(value) for name, value in settings.items()}


class Process:
    """`misto <arguments>` as a process of its own; its output goes to `log`.

    `program` are arguments for Python that run Misto in another way than its own command.
    """

    def __init__(
        self,
        *arguments: str,
        log: Path,
        port_setting: str | None = None,
        program: tuple[str, ...] = (),
        **settings: object,
    ) -> None:
        self.port = free_port()
        if port_setting:
            settings[port_setting] = self.port
        self.log = log
        command = [sys.executable, *program] if program else [Path(sys.executable).with_name("misto")]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *arguments],
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_well(self, wait_s: float = 30) -> None:
        """Wait until /healthz answers 200."""
        wait_for(lambda: self.health()[0] == 200, f"{self.log.read_text()[-2000:]}\nnot well", wait_s)

    def health(self) -> tuple[int, str]:
        """Status and sentence of /healthz; status 0 while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()
        except (URLError, ConnectionError, TimeoutError):
            return 0, ""

    def ended(self) -> int | None:
        """Exit status if it has ended."""
        return self._process.poll()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """Stand still, as a machine without time or memory does."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self, wait_s: float = 30) -> int:
        """SIGTERM; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(wait_s)

    def wait(self, wait_s: float) -> int:
        return self._process.wait(wait_s)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *unused: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def wait_for(ready: Callable[[], bool], what: str, wait_s: float = 30) -> None:
    """Wait until `ready()`; fails the test with `what`."""
    deadline = time.monotonic() + wait_s
    while not ready():
        assert time.monotonic() < deadline, f"after {wait_s} s: {what}"
        time.sleep(0.05)


class Publisher:
    """Publishes with QoS 1; `acknowledged` counts what the broker has taken."""

    def __init__(self, url: str) -> None:
        self.acknowledged = 0
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_publish = self._on_publish
        self._client.max_inflight_messages_set(100)
        parts = urlsplit(url)
        self._client.connect(str(parts.hostname), parts.port or 1883)
        self._client.loop_start()
        self._sent = 0

    def _on_publish(self, *unused: Any) -> None:
        with self._lock:
            self.acknowledged += 1

    def send(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)
        self._sent += 1

    def settle(self, wait_s: float = 60) -> int:
        """Wait until everything sent is acknowledged; returns how many."""
        wait_for(lambda: self.acknowledged >= self._sent, "the broker has not acknowledged everything", wait_s)
        return self.acknowledged

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()
