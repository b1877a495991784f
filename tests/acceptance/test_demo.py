"""`misto demo` as a person runs it: private servers, every service as a process, one city."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from misto.runtime import Binaries
from misto.runtime.binaries import root_in
from tests.cities import bins, found
from tests.processes import environment, wait_for

pytestmark = pytest.mark.runtime

MISTO = Path(sys.executable).with_name("misto")


@pytest.fixture(scope="module")
def folder(binaries: Binaries, server_folder: Path) -> Path:
    """A runtime folder of our own that has the programs already; its data is kept from test to test."""
    folder = server_folder / "demo runtime"
    folder.mkdir()
    if binaries.origin != "installed on this machine":
        root_in(folder).symlink_to(binaries.mosquitto.parents[2])
    return folder


class Run:
    """`misto demo` running, its output read from a file."""

    def __init__(self, folder: Path, *arguments: str, **settings: object) -> None:
        self.folder = folder
        self.path = folder.parent / f"demo-{time.monotonic_ns()}.out"
        # Ports of the machine that others may use are not asked for.
        ports = {
            f"{name}_port": 0
            for name in ("board", "ingest_metrics", "rules_metrics", "keeper_metrics", "simulator_metrics")
        }
        with self.path.open("wb") as output:
            self.process = subprocess.Popen(
                [MISTO, "demo", "--history-days", "1", *arguments],
                env=environment(runtime_dir=folder, **ports, **settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def wait_says(self, text: str, wait_s: float = 90) -> None:
        def said() -> bool:
            assert text in self.output or self.process.poll() is None, self.output
            return text in self.output

        wait_for(said, f"{text!r} was not said:\n{self.output}", wait_s)

    def pid_of(self, name: str) -> int:
        match = re.search(rf"^{name} .* (\d+)$", self.output, re.MULTILINE)
        assert match is not None, self.output
        return int(match[1])

    def end(self, number: int = signal.SIGINT, wait_s: float = 60) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(wait_s)


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """Runs that a failing test leaves are ended."""
    started: list[Run] = []
    yield started
    for run in started:
        run.end(signal.SIGTERM)


def left_of(folder: Path) -> list[str]:
    """Processes that belong to a demo in this folder: by their arguments or their environment."""
    mark = os.fsencode(folder)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
            if mark in arguments or b"=" + mark + b"\0" in (process / "environ").read_bytes():
                found.append(arguments.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_a_short_run_ends_by_itself_and_is_right(folder: Path, runs: list[Run]) -> None:
    runs.append(run := Run(folder, "--for", "25s"))
    assert run.process.wait(240) == 0, run.output
    said = run.output
    assert "everything is as it must be" in said
    sent = re.search(r"acknowledged by the broker\s+([\d,]+) of ([\d,]+)", said)
    stored = re.search(r"messages stored\s+([\d,]+) of ([\d,]+)", said)
    assert sent is not None
    assert stored is not None
    assert sent[1] == sent[2]
    assert stored[1] == stored[2]
    assert int(stored[1].replace(",", "")) > 5_000
    assert left_of(folder) == []

    # Again: the data is there still, and what has passed since is played.
    runs.append(again := Run(folder, "--for", "5s"))
    assert again.process.wait(120) == 0, again.output
    assert "history: there already" in again.output
    assert "migrations applied" not in again.output
    assert left_of(folder) == []


def test_what_dies_is_started_again_and_told(folder: Path, runs: list[Run]) -> None:
    runs.append(run := Run(folder, "--for", "20s"))
    run.wait_says("Stop with Ctrl-C")

    runs.append(second := Run(folder))
    assert second.process.wait(30) == 1
    assert f"a demo runs already in {folder}" in second.output

    os.kill(run.pid_of("rules"), signal.SIGKILL)
    run.wait_says("starting rules again")
    os.kill(run.pid_of("database"), signal.SIGKILL)
    run.wait_says("starting database again")
    assert run.process.wait(180) == 1, run.output
    assert "WRONG: rules has ended by itself (1 times)" in run.output
    assert "WRONG: database has ended by itself (1 times)" in run.output
    # A crash loses nothing: what was sent is stored all the same.
    assert "different messages were sent" not in run.output
    assert left_of(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_it_all(folder: Path, runs: list[Run], number: signal.Signals) -> None:
    runs.append(run := Run(folder))
    run.wait_says("Stop with Ctrl-C")
    assert run.end(number) == 0
    assert "stopping everything" in run.output
    assert left_of(folder) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")
def test_killed_it_leaves_no_process(folder: Path, runs: list[Run]) -> None:
    runs.append(run := Run(folder))
    run.wait_says("Stop with Ctrl-C")
    run.end(signal.SIGKILL)
    # At once again, while the old servers are still ending: they are waited for.
    runs.append(again := Run(folder, "--for", "3s"))
    assert again.process.wait(120) == 0, again.output
    wait_for(lambda: left_of(folder) == [], f"left behind: {left_of(folder)}")


def test_the_history_can_be_interrupted_and_is_filled_later(
    binaries: Binaries, server_folder: Path, runs: list[Run]
) -> None:
    folder = server_folder / "interrupted"
    folder.mkdir()
    if binaries.origin != "installed on this machine":
        root_in(folder).symlink_to(binaries.mosquitto.parents[2])
    runs.append(run := Run(folder, "--history-days", "60"))
    run.wait_says("inventory:")
    time.sleep(2)
    assert run.end(signal.SIGTERM) == 130
    assert left_of(folder) == []
    runs.append(again := Run(folder, "--for", "5s"))
    assert again.process.wait(180) == 0, again.output
    assert "everything is as it must be" in again.output


def test_another_citys_database_is_left_alone(
    database_url: str, mqtt_url: str, server_folder: Path, runs: list[Run]
) -> None:
    with psycopg.connect(database_url) as connection:
        found(connection, bins(2))
    folder = server_folder / "given"
    folder.mkdir()
    runs.append(run := Run(folder, "--for", "1s", database_url=database_url, mqtt_url=mqtt_url))
    assert run.process.wait(60) == 1
    assert "holds another city" in run.output
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM site WHERE retired").fetchone() == (0,)
