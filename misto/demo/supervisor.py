"""The demo's processes: started, waited for, started again when one dies, stopped."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from misto.runtime import Interrupted, MosquittoServer, PostgresServer
from misto.runtime.errors import EmbeddedRuntimeError
from misto.runtime.packages import Say, Stopped
from misto.runtime.process import free_port, port_is_free, spawn, stop, tail

_RESTARTS = 3
_WELL_WITHIN_S = 60.0


class DemoError(EmbeddedRuntimeError):
    """The demo cannot go on; the text says why."""


@dataclass
class Service:
    """One process of the demo; `port` serves `health_path` and, but for Grafana, `/metrics`."""

    name: str
    command: list[str]
    port: int
    environment: Mapping[str, str]
    health_path: str = "/healthz"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def get(self, path: str) -> str:
        """Body of an answer with status 200, else an empty text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return ""


@dataclass
class Supervisor:
    """Runs services and watches them and the servers beneath them. Use it from the main thread only:

    on Linux a child gets SIGTERM when the thread that started it ends, so nothing outlives the demo.
    """

    logs: Path
    say: Say
    stopped: Stopped
    services: list[Service] = field(default_factory=list)
    servers: dict[str, PostgresServer | MosquittoServer] = field(default_factory=dict)
    #: How often something has ended by itself, by its name.
    ended: Counter[str] = field(default_factory=Counter)

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start(self, *services: Service) -> None:
        """Start, and wait until each answers that it is well. Raises `DemoError`, and `Interrupted` when stopped."""
        for service in services:
            self.services.append(service)
            self._spawn(service)
        deadline = time.monotonic() + _WELL_WITHIN_S
        for service in services:
            while not service.get(service.health_path):
                if self.stopped():
                    raise Interrupted
                if service.process is None or service.process.poll() is not None:
                    raise DemoError(self._epitaph(service.name, service.process))
                if time.monotonic() > deadline:
                    raise DemoError(f"{service.name} does not get well; {self._log_says(service.name)}")
                time.sleep(0.1)

    def check(self) -> None:
        """Start again what has ended by itself. Raises `DemoError` if that happens too often."""
        for name, server in self.servers.items():
            if (status := server.ended()) is not None:
                self._count(name, f"{name} ended with status {status}; {self._log_says(name)}")
                server.start()
        for service in self.services:
            if service.process is not None and service.process.poll() is not None:
                self._count(service.name, self._epitaph(service.name, service.process))
                self._spawn(service)

    def stop(self, service: Service, wait_s: float = 30) -> None:
        """Stop one service and watch it no longer."""
        self.services.remove(service)
        if service.process is not None:
            stop(service.process, wait_s=wait_s)

    def stop_all(self) -> None:
        """Stop all services at once, each with its own time to finish; the last started first."""
        for service in reversed(self.services):
            if service.process is not None and service.process.poll() is None:
                service.process.send_signal(signal.SIGTERM)
        while self.services:
            self.stop(self.services[-1])

    def _spawn(self, service: Service) -> None:
        service.process = spawn(service.command, self.log_of(service.name), env=dict(service.environment))

    def _count(self, name: str, sentence: str) -> None:
        self.say(sentence)
        self.ended[name] += 1
        if self.ended[name] > _RESTARTS:
            raise DemoError(f"{name} has ended by itself {self.ended[name]} times; giving up")
        self.say(f"starting {name} again ({self.ended[name]} of {_RESTARTS} times)")

    def _epitaph(self, name: str, process: subprocess.Popen[bytes] | None) -> str:
        status = process.returncode if process is not None else None
        return f"{name} ended with status {status}; {self._log_says(name)}"

    def _log_says(self, name: str) -> str:
        return f"{self.log_of(name)} says:\n{tail(self.log_of(name))}"


def misto_program() -> str:
    """The command `misto` of this environment."""
    beside = Path(sys.executable).with_name("misto")
    return str(beside) if beside.exists() else shutil.which("misto") or "misto"


def port_for(name: str, wanted: int, say: Say, is_free: Callable[[int], bool] = port_is_free) -> int:
    """The wanted port, or another one, told, if that is taken."""
    if wanted and is_free(wanted):
        return wanted
    port = free_port()
    if wanted:
        say(f"port {wanted} is taken: {name} uses {port}")
    return port
