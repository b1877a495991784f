"""Broker or database are wrong: one sentence, an exit status of its own, and waiting where waiting helps."""

from __future__ import annotations

import json
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ruamel.yaml import YAML

from misto.runtime import Binaries, MosquittoServer, PostgresServer
from store.migrate import migrate
from tests.cities import bins, found, text
from tests.conftest import _database, at_database, missing
from tests.processes import Process, Publisher, environment, wait_for

_EXPORT = ["inventory", "export"]
NOWHERE = "mqtt://127.0.0.1:1"
PORTS = {
    "ingest": "ingest_metrics_port", "rules run": "rules_metrics_port", "keeper": "keeper_metrics_port",
    "board": "board_port",
}  # fmt: skip


def start(service: str, folder: Path, **settings: object) -> Process:
    return Process(
        *service.split(), log=folder / f"{service.split()[0]}.log", port_setting=PORTS[service],
        **{"mqtt_url": NOWHERE, **settings},
    )  # fmt: skip


@contextmanager
def services_of(names: Collection[str], folder: Path, **settings: object) -> Iterator[dict[str, Process]]:
    with ExitStack() as stack:
        yield {service: stack.enter_context(start(service, folder, **settings)) for service in names}


def run(*arguments: str, **settings: object) -> tuple[int, str]:
    """Exit status and what it says."""
    done = subprocess.run(
        [Path(sys.executable).with_name("misto"), *arguments],
        env=environment(**settings), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def said(process: Process) -> str:
    """Its one sentence, without the lines of its log."""
    text = process.log.read_text()
    assert "Traceback" not in text, text
    (sentence,) = [line for line in text.splitlines() if line.startswith("misto: ")]
    return sentence


def says(process: Process, words: str) -> bool:
    return words in process.health()[1]


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]


def test_what_a_person_must_change_ends_every_service(admin_url: str, template_database: str, tmp_path: Path) -> None:
    with ExitStack() as stack:

        def database(template: str | None, *statements: str) -> str:
            url = stack.enter_context(contextmanager(_database)(admin_url, template))
            execute(url, *statements)
            return url

        right = database(template_database)
        execute(admin_url, "DROP ROLE IF EXISTS misto_nobody", "CREATE ROLE misto_nobody LOGIN PASSWORD 'nobody'")
        stack.callback(execute, admin_url, "DROP ROLE misto_nobody")
        strange = database(None, "CREATE TABLE invoices ()", "CREATE TABLE customers ()")
        newer = database(
            template_database, "INSERT INTO schema_migration (version, name, digest) VALUES (9999, 'future', 'x')"
        )
        cases = {
            "password": (11, "refuses the login: password authentication failed .*; check user and password",
                         re.sub(r"://(\w+):[^@]+@", r"://\1:wrong@", right), list(PORTS)),
            "name": (12, "misto_absent has no database of this name; check the name",
                     at_database(admin_url, "misto_absent"), ["keeper"]),
            "extension": (14, "has lost the extension timescaledb.*; restore",
                          database(template_database, "DROP EXTENSION timescaledb CASCADE"), ["ingest"]),
            "newer": (16, "migration 9999, .* does not know; install the newer Misto", newer, ["rules run", "ingest"]),
            "strange": (18, "has the tables customers, invoices and none of Misto's; check the name",
                        strange, ["rules run", "board"]),
            "empty": (15, "is empty; run `misto migrate`", database(None), []),
            "rights": (21, "role misto_nobody may not .*; take the role that docs/store.md names",
                       re.sub(r"://[^@]+@", "://misto_nobody:nobody@", right), ["board"]),
        }  # fmt: skip
        started = []
        for case, (status, words, url, names) in cases.items():
            (tmp_path / case).mkdir()
            services = stack.enter_context(services_of(names, tmp_path / case, database_url=url))
            started += [(process, status, words) for process in services.values()]
        for process, status, words in started:
            assert process.wait(60) == status, process.log.read_text()
            assert re.search(words, said(process)), said(process)
        for case, arguments in {"strange": ["migrate"], "rights": _EXPORT, "empty": _EXPORT}.items():
            status, words, url, _ = cases[case]
            ended, told = run(*arguments, database_url=url)
            assert (ended, "Traceback" in told) == (status, False)
            assert re.search(words, told)


def test_services_wait_for_migrations_and_while_nothing_can_be_written(
    empty_database_url: str, admin_url: str, own_mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    name = empty_database_url.rpartition("/")[2]
    settings: dict[str, object] = {"database_url": empty_database_url, "mqtt_url": own_mosquitto.url}
    with services_of(PORTS, tmp_path, **settings) as services:
        for service, process in services.items():
            wait_for(partial(says, process, "is empty; run `misto migrate`"), f"{service} says what it waits for")
            assert process.health()[0] == 503
        migrate(empty_database_url)
        for process in services.values():
            process.wait_well()
            assert process.log.read_text().count("is empty; run `misto migrate`") == 1

        assert services["ingest"].stop() == 0
        execute(
            admin_url,
            f"ALTER DATABASE {name} SET default_transaction_read_only = on",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        (tmp_path / "again").mkdir()
        services["ingest"] = start("ingest", tmp_path / "again", **settings)
        with services["ingest"]:
            for service in ("ingest", "rules run", "keeper"):
                wait_for(partial(says, services[service], "is read-only, as a standby is; promote it"), service)
            services["board"].wait_well()
            wait_for(lambda: "is read-only" in services["board"].log.read_text(), "the board says that it cannot write")
            assert run("migrate", **settings)[0] == 20
            execute(admin_url, f"ALTER DATABASE {name} RESET default_transaction_read_only")
            for process in services.values():
                process.wait_well()
                assert process.stop() == 0


def test_a_service_that_has_worked_goes_on_trying(database_url: str, tmp_path: Path) -> None:
    with start("keeper", tmp_path, database_url=database_url) as keeper:
        keeper.wait_well()
        execute(
            database_url,
            "INSERT INTO schema_migration (version, name, digest) VALUES (9999, 'future', 'x')",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'misto-keeper' "
            "AND datname = current_database()",
        )
        wait_for(lambda: "install the newer Misto" in keeper.health()[1], "the keeper says what is wrong")
        execute(database_url, "DELETE FROM schema_migration WHERE version = 9999")
        keeper.wait_well()
        assert keeper.stop() == 0


def test_a_server_that_does_not_load_the_extension(binaries: Binaries, server_folder: Path, tmp_path: Path) -> None:
    server = PostgresServer(
        binaries, server_folder / "unloaded", settings={"shared_buffers": "32MB", "shared_preload_libraries": ""}
    )
    server.start()
    try:
        status, told = run("migrate", database_url=server.url)
        assert status == 14
        assert re.search("TimescaleDB cannot be had .*set shared_preload_libraries = 'timescaledb'", told), told
        assert "Traceback" not in told
    finally:
        server.stop()


def test_the_inventory_of_another_city(database_url: str, database: psycopg.Connection[Any], tmp_path: Path) -> None:
    found(database, bins(1))
    file = tmp_path / "city.yaml"
    tree = {
        "version": 1, "city": {"name": {"en": "Kalush", "uk": "Калуш"}, "latitude": 49.0, "longitude": 24.4},
        "sites": [bins(1)],
        "zones": [{"id": "centre", "name": text("Centre")}], "contractors": [{"id": "clean", "name": text("Clean")}],
    }  # fmt: skip
    with file.open("w", encoding="utf-8") as out:
        YAML().dump(tree, out)
    status, told = run("inventory", "load", str(file), database_url=database_url)
    assert status == 19
    assert "holds Town (Town (укр)), the inventory is of Kalush (Калуш), and nothing was changed" in told
    assert database.execute("SELECT name_en FROM city").fetchall() == [("Town",)]
    assert run("inventory", "load", str(file), "--other-city", database_url=database_url)[0] == 0
    assert database.execute("SELECT name_en FROM city").fetchall() == [("Kalush",)]


def stored(url: str) -> list[float]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT value FROM readings JOIN metric USING (metric_id) WHERE name = 'power_w' ORDER BY 1"
        )
        return [row[0] for row in rows]


def send(url: str, *values: int) -> None:
    with Publisher(url) as publisher:
        for value in values:
            publisher.send("misto/m1/up", json.dumps({"power_w": value}))
        publisher.settle()


class GuardedBroker:
    """A Mosquitto whose access rules can be changed."""

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        library = next((binaries.mosquitto.parents[1] / "lib").glob("*/mosquitto_dynamic_security.so"), None)
        if library is None:
            missing("this Mosquitto comes without its dynamic security plugin")
        folder.mkdir()
        folder.chmod(0o777)
        self._rules = folder / "rules.json"
        self.server = MosquittoServer(
            binaries, folder / "broker", extra=f"plugin {library}\nplugin_opt_config_file {self._rules}"
        )

    def allow(self, *, subscribe: bool) -> None:
        """Start it with these rules, anew if it runs."""
        self.server.stop()
        access = {"publishClientSend": True, "publishClientReceive": True, "unsubscribe": True, "subscribe": subscribe}
        self._rules.unlink(missing_ok=True)
        self._rules.write_text(json.dumps({"defaultACLAccess": access, "clients": [], "groups": [], "roles": []}))
        self._rules.chmod(0o666)
        self.server.start()


@pytest.fixture
def guarded(binaries: Binaries, server_folder: Path) -> Iterator[GuardedBroker]:
    broker = GuardedBroker(binaries, server_folder / "guarded")
    yield broker
    broker.server.stop()


def test_a_broker_that_refuses_the_subscription(database_url: str, guarded: GuardedBroker, tmp_path: Path) -> None:
    settings: dict[str, object] = {
        "database_url": database_url,
        "mqtt_url": guarded.server.url,
        "mqtt_topics": "misto/#",
    }
    guarded.allow(subscribe=False)
    old = OldBroker(guarded.server.port, b"\x20\x02\x00\x01")
    (tmp_path / "old").mkdir()
    with (
        start("ingest", tmp_path, **settings) as ingest,
        start("ingest", tmp_path / "old", **{**settings, "mqtt_url": old.url}) as ingest_3,
    ):
        status, told = run("doctor", **settings)
        assert status == 1
        assert "refuses the subscription to misto/# (Not authorized)" in " ".join(told.split())
        words = r"refuses the subscription to misto/# \((.*)\); .*let"
        for process, reason in {ingest: "Not authorized", ingest_3: "Unspecified error"}.items():
            assert process.wait(30) == 31
            found_words = re.search(words, said(process))
            assert found_words, said(process)
            assert found_words[1] == reason
    old.close()
    guarded.allow(subscribe=True)
    with start("ingest", tmp_path, **settings) as ingest:
        ingest.wait_well()
        guarded.allow(subscribe=False)
        wait_for(lambda: "refuses the subscription" in ingest.health()[1], "ingest goes on and says so")
        guarded.allow(subscribe=True)
        ingest.wait_well()
        send(guarded.server.url, 7)
        wait_for(lambda: stored(database_url) == [7], ingest.log.read_text())
        assert ingest.stop() == 0


class OldBroker:
    """A broker without MQTT 5: a line to a Mosquitto that takes CONNECT of version 4 alone, and refuses others with
    CONNACK and return code 1, or without a word. It counts PUBACKs."""

    def __init__(self, port: int, answer: bytes) -> None:
        self._port, self._answer = port, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        self.acknowledged = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client:
            first = client.recv(4096)
            if not first:
                return
            if first[first.index(b"MQTT") + 4] != 4:
                client.sendall(self._answer)
                return
            with socket.create_connection(("127.0.0.1", self._port)) as broker:
                broker.sendall(first)
                other = {client: broker, broker: client}
                while True:
                    for side in select.select(list(other), [], [])[0]:
                        try:
                            data = side.recv(65_536)
                            if side is client:
                                self.acknowledged += data.count(b"\x40\x02")
                            other[side].sendall(data)
                        except OSError:
                            return
                        if not data:
                            return

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b""], ids=["return code 1", "closed"])
def test_a_broker_without_mqtt_5(
    database_url: str, own_mosquitto: MosquittoServer, tmp_path: Path, answer: bytes
) -> None:
    old = OldBroker(own_mosquitto.port, answer)
    settings: dict[str, object] = {"database_url": database_url, "mqtt_url": old.url}
    try:
        with start("ingest", tmp_path, **settings) as ingest:
            ingest.wait_well()
            assert ingest.log.read_text().count("has no MQTT 5; going on with 3.1.1") == 1
            with psycopg.connect(database_url) as lock:
                lock.execute("LOCK TABLE readings")
                send(own_mosquitto.url, 1, 2, 3)
                with psycopg.connect(database_url) as other:
                    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'readings'::regclass"
                    wait_for(lambda: other.execute(waiting).fetchone() != (0,), "the batch waits for the lock")
                assert old.acknowledged == 0
            wait_for(lambda: old.acknowledged == 3, f"three acknowledgements, not {old.acknowledged}")
            assert stored(database_url) == [1, 2, 3]
            if answer:
                assert "MQTT 3.1.1" in run("doctor", **settings)[1]
            assert ingest.stop() == 0
    finally:
        old.close()


def test_what_a_person_must_change_at_the_broker_ends_ingest(
    database_url: str, binaries: Binaries, server_folder: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        strict = MosquittoServer(binaries, server_folder / "strict", extra="allow_anonymous false")
        small = MosquittoServer(binaries, server_folder / "small", extra="max_packet_size 2000")
        for server in (strict, small):
            server.start()
            stack.callback(server.stop)
        old = OldBroker(strict.port, b"\x20\x02\x00\x01")
        stack.callback(old.close)
        topics = ",".join(f"misto/{number:050d}/up" for number in range(60))
        cases: dict[str, tuple[int, str, dict[str, object]]] = {
            "login": (30, r"refuses the login \(Not authorized\); check user and password", {"mqtt_url": strict.url}),
            "topics": (31, "the subscription needs 3,728; name fewer topics in MISTO_MQTT_TOPICS",
                       {"mqtt_url": small.url, "mqtt_topics": topics}),
            "share": (32, "has no MQTT 5, which the shared subscription 'workers' needs; leave MISTO_MQTT_SHARE empty",
                      {"mqtt_url": old.url, "mqtt_share": "workers"}),
        }  # fmt: skip
        started = {}
        for case, (_, _, settings) in cases.items():
            (tmp_path / case).mkdir()
            started[case] = stack.enter_context(start("ingest", tmp_path / case, database_url=database_url, **settings))
        for case, (status, words, _) in cases.items():
            assert started[case].wait(60) == status, started[case].log.read_text()
            assert re.search(words, said(started[case])), said(started[case])


def test_small_packets_and_two_of_the_same_name(
    database_url: str, binaries: Binaries, server_folder: Path, tmp_path: Path
) -> None:
    server = MosquittoServer(binaries, server_folder / "smaller", extra="max_packet_size 2000")
    server.start()
    settings: dict[str, object] = {"database_url": database_url, "mqtt_url": server.url}
    try:
        (tmp_path / "second").mkdir()
        with start("ingest", tmp_path, **settings) as first:
            first.wait_well()
            assert "takes packets of 2,000 bytes at the most: larger messages" in first.log.read_text()
            with start("ingest", tmp_path / "second", **settings) as second:
                second.wait_well()
                wait_for(partial(says, first, "same MISTO_MQTT_CLIENT_ID"), first.log.read_text())
                assert second.stop() == 0
            assert first.stop() == 0
    finally:
        server.stop()
