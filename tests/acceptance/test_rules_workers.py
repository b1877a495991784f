"""Three rules processes on one stream, killed and put to sleep: the alerts are those of one engine, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import psycopg
import pytest

from store.migrate import migrate
from store.reading_log import lag
from store.rules_leases import worker_list
from store.writer import ReadingWriter
from tests.cities import bins, found
from tests.processes import Process, wait_for
from tests.straight import Stream, alerts_in, straight

Connect = Callable[[], psycopg.Connection]
BINS, ROUNDS, ROUND_S = 150, 200, 0.2


@pytest.fixture
def reference(empty_database_url: str) -> Iterator[psycopg.Connection]:
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True, options="-c TimeZone=UTC") as connection:
        yield connection


def test_each_alert_once_through_kills_and_sleep(
    database_url: str, database: psycopg.Connection, new_connection: Connect, reference: psycopg.Connection,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    points = found(database, bins(BINS))
    stream = Stream([points[f"bin-{n}"] for n in range(BINS)], ROUNDS, seed=5)
    writer = ReadingWriter(new_connection())
    running: dict[str, Process] = {}
    written = iter(range(len(stream.rounds)))

    def shares() -> dict[str, int]:
        return {one.name: one.partitions for one in worker_list(database) if one.alive}

    def write(rounds: int, every_s: float = ROUND_S) -> None:
        for number in islice(written, rounds):
            stream.write(writer, number)
            time.sleep(every_s)

    def logs() -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(tmp_path.glob("*.log")))

    def handed_over(name: str, what: str) -> None:
        """Write on until nothing is held by this worker; tell how long that took."""
        began = time.monotonic()
        while shares().get(name) or sum(shares().values()) < 64:
            assert time.monotonic() - began < 60, f"{what}: {shares()}\n{logs()}"
            write(1)
        with capsys.disabled():
            print(f"\n{what}: handed over after {time.monotonic() - began:.1f} s", end="")

    with ExitStack() as stack:

        def start(name: str) -> None:
            process = Process(
                "rules", "run", log=tmp_path / f"{name}.log", port_setting="rules_metrics_port",
                database_url=database_url, rules_worker=name,
            )  # fmt: skip
            running[name] = stack.enter_context(process)
            process.wait_well()

        for name in ("a", "b", "c"):
            start(name)
        wait_for(lambda: sorted(shares().values()) == [21, 21, 22], "each has its share")
        write(15)
        running["a"].kill()
        handed_over("a", "killed")
        write(5)
        write(30, 0.01)  # It falls asleep over its work.
        running["b"].pause()
        handed_over("b", "put to sleep")
        start("d")
        write(10)
        running["b"].wake()
        wait_for(
            lambda: set(shares()) == {"b", "c", "d"} and min(shares().values()) > 20, f"all have a share: {logs()}"
        )
        write(10)
        write(30, 0.01)
        running["c"].pause()
        running["d"].kill()
        handed_over("d", "killed while another sleeps")
        running["c"].wake()
        start("a")
        write(5)
        assert running["b"].stop() == 0
        handed_over("b", "stopped")
        write(len(stream.rounds))
        wait_for(lambda: lag(database, "rules").batches == 0, f"all is judged: {logs()}")
        for name in ("a", "c"):
            assert running[name].stop() == 0
    made = alerts_in(database)
    assert made == straight(database, reference, bins(BINS))
    assert len(made) > 3 * BINS
    assert "Traceback" not in logs()
    assert shares() == {}
