"""The load generator and a real Mosquitto."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from misto.cli.load import run_load
from misto.runtime import Binaries, MosquittoServer
from misto.runtime.process import free_port
from misto.settings import Settings
from simulators.errors import SimulatorError
from simulators.load import Load, LoadConfig
from tests.processes import wait_for


@contextmanager
def reader(server: MosquittoServer) -> Iterator[list[tuple[str, bytes]]]:
    """What a subscriber with a session that outlives the broker receives."""
    got: list[tuple[str, bytes]] = []
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False, protocol=mqtt.MQTTv311)
    client.on_message = lambda client, data, message: got.append((message.topic, bytes(message.payload)))
    client.on_connect = lambda client, *unused: client.subscribe("misto/#", 1)
    client.on_subscribe = lambda *unused: ready.set()
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", server.port)
    client.loop_start()
    try:
        assert ready.wait(10)
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("version_5", [True, False])
def test_all_is_acknowledged_and_arrives_once(own_mosquitto: MosquittoServer, version_5: bool) -> None:
    count = 20_000
    with reader(own_mosquitto) as got:
        summary = Load(LoadConfig(own_mosquitto.url, 50, count, version_5=version_5)).run(threading.Event())
        wait_for(lambda: len(got) >= count, "everything arrived")
    assert (summary.sent, summary.acknowledged, summary.refused, summary.repeated) == (count, count, 0, 0)
    assert len(got) == len(set(got)) == count
    assert {topic for topic, _ in got} == {f"misto/load-{number:06d}/up" for number in range(1, 51)}


def test_mqtt_5_tells_that_nobody_listens_and_that_is_no_failure(own_mosquitto: MosquittoServer) -> None:
    summary = Load(LoadConfig(own_mosquitto.url, 50, 30_000)).run(threading.Event())
    assert (summary.acknowledged, summary.refused) == (30_000, 0)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_broker_that_goes_away_in_the_middle(own_mosquitto: MosquittoServer, end: str) -> None:
    count = 60_000
    payloads: list[bytes] = []
    with reader(own_mosquitto) as got:
        load = Load(LoadConfig(own_mosquitto.url, 50, count, rate_per_s=30_000))
        thread = threading.Thread(target=load.run, args=(threading.Event(),))
        thread.start()
        wait_for(lambda: load.summary.acknowledged > 5_000, "it has begun")
        getattr(own_mosquitto, end)()
        wait_for(lambda: "is away" in load.summary.state, "it says that the broker is away")
        assert load.summary.acknowledged < count
        own_mosquitto.start()
        thread.join(60)
        assert not thread.is_alive()
        if end == "stop":  # what a killed broker had not written is its own loss
            wait_for(lambda: len(set(got)) >= count, "everything arrived")
        payloads += [payload for _, payload in got]
    assert (load.summary.sent, load.summary.acknowledged, load.summary.refused) == (count, count, 0)
    if end == "stop":
        assert len(set(payloads)) == count
        assert len(payloads) <= count + load.summary.repeated


def test_the_command(own_mosquitto: MosquittoServer, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(mqtt_url=own_mosquitto.url)
    assert run_load(settings, 10, 2_000, 0, threading.Event()) == 0
    said = capsys.readouterr().out
    assert said.startswith("sent 2,000 messages, 2,000 acknowledged by the broker in ")
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    assert run_load(settings, 10, None, 1_000, stop) == 0
    timer.join()
    number = int(capsys.readouterr().out.split()[1].replace(",", ""))
    assert 200 < number < 1_000


@pytest.mark.parametrize("version_5", [True, False])
def test_a_wrong_login_is_a_sentence(binaries: Binaries, server_folder: Path, version_5: bool) -> None:
    folder = server_folder / f"no-login-{version_5}"
    server = MosquittoServer(binaries, folder, extra="allow_anonymous false")
    server.start()
    try:
        url = server.url.replace("//", "//anna:wrong@")
        with pytest.raises(SimulatorError, match=r"refuses the login \(Not authorized\); check user and password"):
            Load(LoadConfig(url, 1, 10, version_5=version_5)).run(threading.Event())
    finally:
        server.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a certificate for 127.0.0.1, signed by itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl on this machine")
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", file,
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + key.read_text())
    return file


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused socket open
def test_over_tls(binaries: Binaries, server_folder: Path, certificate: Path, tmp_path: Path) -> None:
    folder = server_folder / "tls"
    folder.mkdir()
    both = folder / "both.pem"
    shutil.copy(certificate, both)
    port = free_port()
    server = MosquittoServer(binaries, folder, extra=f"listener {port} 127.0.0.1\ncertfile {both}\nkeyfile {both}")
    server.start()
    url = f"mqtts://127.0.0.1:{port}"
    try:
        summary = Load(LoadConfig(url, 5, 30_000, ca_file=certificate)).run(threading.Event())
        assert (summary.sent, summary.acknowledged, summary.repeated) == (30_000, 30_000, 0)
        with pytest.raises(SimulatorError, match=r"is not trusted: self-signed certificate; set MISTO_MQTT_CA_FILE"):
            Load(LoadConfig(url, 5, 10)).run(threading.Event())
        with pytest.raises(SimulatorError, match=r"nothing\.pem is no certificate"):
            Load(LoadConfig(url, 5, 10, ca_file=tmp_path / "nothing.pem")).run(threading.Event())
    finally:
        server.stop()
