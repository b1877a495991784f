"""The private servers themselves: they keep what they were given, and do not outlive who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from misto.doctor_broker import Party
from misto.runtime import Binaries, MosquittoServer, PostgresServer, ServerFailed
from misto.runtime.binaries import server_user
from misto.runtime.process import spawn, stop
from misto.settings import Settings
from tests.processes import Publisher, wait_for

pytestmark = pytest.mark.runtime


def _count(server: PostgresServer) -> object:
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT count(*) FROM kept").fetchone()


def _keep(server: PostgresServer) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n integer)")
        connection.execute("INSERT INTO kept VALUES (1)")


def test_what_is_committed_survives_a_crash(own_postgres: PostgresServer) -> None:
    _keep(own_postgres)
    own_postgres.kill()
    assert own_postgres.ended() is None, "a server that we ended has not ended by itself"
    own_postgres.start()
    assert _count(own_postgres) == (1,)
    own_postgres.restart()
    assert _count(own_postgres) == (1,)


def test_a_killed_server_starts_again_at_once(own_postgres: PostgresServer) -> None:
    _keep(own_postgres)
    assert own_postgres.pid is not None
    os.kill(own_postgres.pid, signal.SIGKILL)
    wait_for(lambda: own_postgres.ended() is not None, "the server lives on")
    own_postgres.start()
    assert _count(own_postgres) == (1,)


def test_a_lock_file_that_names_another_process_is_no_obstacle(binaries: Binaries, server_folder: Path) -> None:
    folder = server_folder / "stale"
    server = PostgresServer(binaries, folder)
    server.start()
    _keep(server)
    lock = folder / "cluster" / "postmaster.pid"
    lines = lock.read_text(encoding="utf-8").splitlines()
    server.kill()
    # As after a power cut, when another process of the same user has got the number meanwhile.
    other = spawn(["sleep", "60"], folder / "other.log", user=server_user())
    lock.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n", encoding="utf-8")
    server.start()
    assert _count(server) == (1,)
    server.stop()
    stop(other)


def test_a_server_that_cannot_start_says_what_its_log_says(binaries: Binaries, server_folder: Path) -> None:
    server = PostgresServer(binaries, server_folder / "wrong", settings={"shared_buffers": "a lot"})
    with pytest.raises(ServerFailed, match=r"PostgreSQL ended with status 1; .*postgres\.log says:\n.*shared_buffers"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that belong to another user")
def test_a_cluster_of_another_user_is_told(binaries: Binaries, server_folder: Path) -> None:
    folder = server_folder / "foreign"
    (folder / "cluster").mkdir(parents=True)
    with pytest.raises(ServerFailed, match="was made by another user"):
        PostgresServer(binaries, folder).start()


def test_a_port_of_another_broker_is_told(
    own_mosquitto: MosquittoServer, binaries: Binaries, server_folder: Path
) -> None:
    second = MosquittoServer(binaries, server_folder / "second", port=own_mosquitto.port)
    with pytest.raises(ServerFailed, match=r"(?s)Mosquitto ended .*in use"):
        second.start()


def _session(server: MosquittoServer, on_message: mqtt.CallbackOnMessage | None = None) -> mqtt.Client:
    """A subscriber whose session the broker keeps for an hour."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="keeps", protocol=mqtt.MQTTv5)
    connected = threading.Event()
    client.on_connect = lambda *unused: connected.set()
    client.on_message = on_message
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", server.port, clean_start=False, properties=properties)
    client.loop_start()
    assert connected.wait(10)
    return client


def test_the_broker_keeps_all_that_an_absent_subscriber_missed(own_mosquitto: MosquittoServer) -> None:
    client = _session(own_mosquitto)
    subscribed = threading.Event()
    client.on_subscribe = lambda *unused: subscribed.set()
    client.subscribe("missed/#", qos=1)
    assert subscribed.wait(10)
    client.disconnect()
    client.loop_stop()
    count = 5_000  # Mosquitto's default would keep 1,000
    with Publisher(own_mosquitto.url) as publisher:
        for number in range(count):
            publisher.send("missed/one", str(number))
        publisher.settle()
    own_mosquitto.restart()
    received: list[int] = []
    client = _session(own_mosquitto, lambda _client, _data, message: received.append(int(message.payload)))
    wait_for(lambda: len(received) >= count, "not all that was missed is delivered")
    client.disconnect()
    client.loop_stop()
    assert received == list(range(count))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")
def test_servers_end_when_who_started_them_is_killed(binaries: Binaries, server_folder: Path) -> None:
    program = f"""
        import sys, time
        from pathlib import Path
        from misto.runtime import Binaries, MosquittoServer, PostgresServer
        binaries = Binaries(Path({str(binaries.postgres)!r}), Path({str(binaries.mosquitto)!r}), "")
        folder = Path({str(server_folder / "orphans")!r})
        servers = PostgresServer(binaries, folder / "postgres"), MosquittoServer(binaries, folder / "mosquitto")
        for server in servers:
            server.start()
        print(*(server.pid for server in servers), flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not any(_lives(pid) for pid in pids), "a server outlives its parent")


def _lives(pid: int) -> bool:
    """True for a process that runs; one that has ended and is not collected yet does not."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def test_a_crashed_broker_has_what_was_queued_until_its_last_save(binaries: Binaries, server_folder: Path) -> None:
    folder = server_folder / "crashing"
    broker = MosquittoServer(binaries, folder)
    broker.start()
    settings = Settings(mqtt_url=broker.url)
    away, sender = Party(settings, "away"), Party(settings, "sender")
    away.connect(clean=False, expires_s=600)
    assert away.subscribe(["misto/#"]) == ""
    away.close(600)
    sender.connect(clean=True, expires_s=0)
    assert sender.publish("misto/a/up", [b"QoS 0"], qos=0) == ""
    assert sender.publish("misto/a/up", [b"%d" % number for number in range(1_500)]) == ""
    sender.close(0)
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGUSR1)  # as every autosave_interval
    save = folder / "mosquitto.db"
    wait_for(lambda: save.exists() and not save.with_suffix(".db.new").exists(), "the queue is saved")
    broker.kill()
    broker.start()
    away.connect(clean=False, expires_s=600)
    assert away.session_present
    assert away.wait(lambda: len(away.received) == 1_501, 10)
    assert away.received[0] == ("misto/a/up", b"QoS 0")
    away.forget()
    broker.stop()
