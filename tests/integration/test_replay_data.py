"""Recorded data of real cities through their mappings, held against what is known of them.

The data are in the folder that MISTO_SHARED_DATA names, else in ../shared/data; without them the tests are skipped.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import paho.mqtt.client as mqtt
import psycopg
import pytest
import typer
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner, Result

from catalogue.inventory import read_inventory
from catalogue.metrics import Quality, metrics_by_id
from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import load_profiles
from misto.cli.replay import replay
from misto.keeper import Keeper, KeeperConfig
from misto.runtime import MosquittoServer
from misto.runtime.process import free_port
from simulators.replay.convert import Converter
from simulators.replay.load import find_mapping, load_mapping
from simulators.replay.reader import file_stem, open_table
from store.registry import sync_inventory
from tests.processes import Process, wait_for

ROOT = Path(__file__).parents[2]


DATA = Path(os.environ.get("MISTO_SHARED_DATA", ROOT.parent / "shared" / "data"))

SETS = {
    "wyndham": "wyndham_smart_bins/Data_Australian.csv",
    "edinburgh": "edinburgh_litter_bins/collections.csv",
    "nmecr-school": "nmecr_school/school_eload.csv",
    "nmecr-temperature": "nmecr_school/school_temp.csv",
    "openeemeter-electricity": "openeemeter_samples/il-electricity-cdd-hdd-hourly.csv.gz",
    "openeemeter-gas": "openeemeter_samples/il-gas-hdd-only-hourly.csv.gz",
    "openeemeter-temperature": "openeemeter_samples/il-tempF.csv.gz",
    "opengrid-gas": "opengrid_be/gas_2016_hour.csv.gz",
    "opengrid-weather": "opengrid_be/weather_2016_hour.csv.gz",
    "weusedto-house": "weusedto_water/feed_WholeHouse.MYD.csv",
    "weusedto-toilet": "weusedto_water/feed.Toilet.csv",
}

Sent = list[tuple[int, str, bytes]]


def data_file(path: str) -> Path:
    if not (DATA / path).is_file():
        pytest.skip(f"{DATA / path} is not there; MISTO_SHARED_DATA names the folder of recorded data")
    return DATA / path


def convert(name: str, path: str | None = None, **options: Any) -> tuple[Converter, Sent]:
    file = data_file(path or SETS[name])
    found = load_mapping(find_mapping(name))
    with open_table(file, found.spec.file) as table:
        converter = Converter(found, table.columns, file_stem(file))
        for row in table.rows:
            converter.add(row)
    now_us = round(datetime.now(UTC).timestamp() * 1e6)
    return converter, list(converter.finish(now_us, **({"shift": False} | options)))


def series(sent: Sent, metric: str) -> dict[str, list[tuple[datetime, float]]]:
    """For each device its times and values of this metric."""
    result: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for time_us, _, payload in sent:
        content = json.loads(payload)
        if metric in content:
            result[content["device"]].append((datetime.fromtimestamp(time_us / 1e6, UTC), content[metric]))
    return result


def total(register: list[tuple[datetime, float]]) -> float:
    values = [value for _, value in register]
    assert (np.diff(values) >= 0).all()
    return values[-1] - values[0]


# --- what ingest understands


@pytest.mark.parametrize("name", SETS)
def test_ingest_understands_every_message(name: str) -> None:
    _, sent = convert(name, shift=True)
    decoder = Decoder(all_envelopes(ZoneInfo("Europe/Kyiv")), load_profiles(), OneDevice(None, None), thorough=True)
    now_us = round(datetime.now(UTC).timestamp() * 1e6)
    sample = [*sent[:200], *sent[:: max(1, len(sent) // 2_000)], *sent[-200:]]
    for time_us, topic, payload in sample:
        (decoded,) = decoder.decode(Message(topic, payload, now_us))
        content = json.loads(payload)
        assert decoded.envelope == "plain_json"
        assert decoded.device.address == content["device"]
        assert decoded.time_us == time_us
        assert decoded.problems == []
        assert decoded.unknown_fields == ()
        got = {metrics_by_id()[metric].name: value for _, metric, value, _ in decoded.readings}
        assert got == {key: value for key, value in content.items() if key not in ("device", "time")}
        assert all(quality == Quality.GOOD for *_, quality in decoded.readings)


# --- the facts of each data set


def test_wyndham() -> None:
    converter, sent = convert("wyndham")
    assert converter.account.rows == len(sent) == 31_427
    assert converter.account.reasons == {}
    bins = series(sent, "fill_level_pct")
    assert len(bins) == 33
    melbourne = ZoneInfo("Australia/Melbourne")
    days = {address: {at.astimezone(melbourne).date() for at, _ in readings} for address, readings in bins.items()}
    assert sum(map(len, days.values())) == 30_659
    whole = set().union(*days.values())
    assert (min(whole), max(whole)) == (date(2018, 6, 26), date(2021, 5, 3))
    assert len(whole) == 966
    by_weekday: dict[int, list[float]] = defaultdict(list)
    for readings in bins.values():
        assert {value for _, value in readings} <= {0, 20, 40, 60, 80, 100}
        # Of two readings of a day the database keeps the first.
        for at, value in dict(reversed(readings)).items():
            by_weekday[at.astimezone(melbourne).weekday()].append(value)
    means = {day: np.mean(values) / 10 for day, values in by_weekday.items()}
    assert min(means, key=means.__getitem__) == 5
    assert max(means, key=means.__getitem__) == 3
    assert means[5] == pytest.approx(2.02, abs=0.01)
    assert means[3] == pytest.approx(3.19, abs=0.01)
    full = [value for at, value in bins["wyndham-1511198"] if date(2021, 1, 3) <= at.astimezone(melbourne).date()]
    assert full[:80] == [100.0] * 80


def test_edinburgh() -> None:
    converter, sent = convert("edinburgh")
    assert (converter.account.rows, len(sent)) == (10_000, 20_000)
    bins = series(sent, "fill_level_pct")
    assert len(bins) == 334
    before, hours = [], []
    for readings in bins.values():
        pairs = list(zip(readings[::2], readings[1::2], strict=True))
        for (at, fill), (emptied_at, after) in pairs:
            assert (emptied_at - at).total_seconds() == 60
            assert after <= fill
            before.append(fill)
        times = [at for at, _ in readings[::2]]
        hours += [(late - early).total_seconds() / 3600 for early, late in itertools.pairwise(times)]
    assert np.mean(before) == pytest.approx(76.9, abs=0.05)
    assert np.mean(np.array(before) == 100) == pytest.approx(0.141, abs=0.001)
    assert np.mean(np.array(before) < 50) == pytest.approx(0.131, abs=0.001)
    assert np.median(hours) == pytest.approx(40.8, abs=0.05)


def test_nmecr_school() -> None:
    converter, sent = convert("nmecr-school")
    assert converter.account.rows == 8_760
    assert [(reason, entry.count) for reason, entry in converter.account.reasons.items()] == [("eload: no value", 13)]
    assert len(sent) == 8_760 - 13 + 1
    (register,) = series(sent, "energy_kwh").values()
    assert total(register) == pytest.approx(266_104, abs=1)
    assert register[0] == (datetime(2018, 1, 1, tzinfo=UTC), 0.0)
    assert register[-1][0] == datetime(2019, 1, 1, tzinfo=UTC)
    hours = [
        (late - early, at)
        for (at, early), (end, late) in itertools.pairwise(register)
        if (end - at).total_seconds() == 3600
    ]
    peak, at = max(hours)
    assert peak == pytest.approx(179.2)
    assert at == datetime(2018, 4, 9, 12, tzinfo=UTC)
    assert total(register) / 8_747 / peak == pytest.approx(0.170, abs=0.001)
    lowest: dict[date, list[float]] = defaultdict(list)
    for amount, begin in hours:
        lowest[begin.date()].append(amount)
    assert np.median([np.mean(sorted(day)[:4]) for day in lowest.values() if len(day) == 24]) == pytest.approx(13.6)


def test_nmecr_temperature() -> None:
    converter, sent = convert("nmecr-temperature")
    assert converter.account.rows == len(sent) == 8_760
    (readings,) = series(sent, "temperature_c").values()
    assert len({at for at, _ in readings}) == 8_759
    assert readings[0][1] == pytest.approx((49.92 - 32) / 1.8, abs=1e-6)


@pytest.mark.parametrize(
    ("file", "kwh"),
    [
        ("il-electricity-cdd-hdd-hourly", 21_927.13),
        ("il-electricity-cdd-hdd-daily", 21_925.83),
        ("il-electricity-cdd-only-hourly", 19_565.06),
        ("il-electricity-cdd-only-daily", 19_565.65),
        ("il-gas-hdd-only-hourly", 2_426.82 * 29.3071111),
        ("il-gas-hdd-only-daily", 2_427.85 * 29.3071111),
        ("il-gas-intercept-only-hourly", 2_091.64 * 29.3071111),
        ("il-gas-intercept-only-daily", 2_091.66 * 29.3071111),
    ],
)
def test_openeemeter(file: str, kwh: float) -> None:
    name = "openeemeter-gas" if "gas" in file else "openeemeter-electricity"
    converter, sent = convert(name, f"openeemeter_samples/{file}.csv.gz")
    ((address, register),) = series(sent, "energy_kwh").items()
    assert address == file
    assert total(register) == pytest.approx(kwh, abs=0.02)
    assert register[0] == (datetime.fromisoformat("2015-11-22T00:00:00-06:00"), 0.0)
    daily = file.endswith("daily")
    assert converter.account.rows == (810 if daily else 19_417)
    assert len(register) == (810 if daily else 19_418)
    seconds = Counter((end - at).total_seconds() for (at, _), (end, _) in itertools.pairwise(register))
    # Days of 23 and 25 hours are whole days.
    assert set(seconds) == ({86_400.0, 82_800.0, 90_000.0} if daily else {3_600.0})


def test_openeemeter_temperature() -> None:
    _, sent = convert("openeemeter-temperature")
    (readings,) = series(sent, "temperature_c").values()
    assert len({at for at, _ in readings}) == 19_417


def test_opengrid() -> None:
    converter, sent = convert("opengrid-gas")
    assert converter.account.rows == 8_785
    power, registers = series(sent, "power_w"), series(sent, "energy_kwh")
    assert set(power) == set(registers) == {"opengrid-313b", "opengrid-d5a7", "opengrid-ba14"}
    in_the_year = [
        (at, value) for at, value in registers["opengrid-313b"]
        if at <= datetime(2016, 12, 31, 23, tzinfo=UTC)
    ]  # fmt: skip
    assert total(in_the_year) == pytest.approx(16_662, abs=1)
    assert sum(value for _, value in power["opengrid-313b"][:-1]) / 1000 == pytest.approx(total(in_the_year))
    _, weather = convert("opengrid-weather")
    assert len(weather) == 8_953
    (humidity,) = series(weather, "humidity_pct").values()
    assert max(value for _, value in humidity) == 100
    # Both files end in the same hour, so a shift by weeks keeps them together.
    moved = [convert(name, shift=True)[1] for name in ("opengrid-gas", "opengrid-weather")]
    starts = [min(time_us for time_us, _, _ in messages) for messages in moved]
    assert starts[0] - starts[1] == 7 * 86_400_000_000


def test_weusedto() -> None:
    converter, sent = convert("weusedto-house")
    assert converter.account.rows == 18_895
    # From row 16,490 on the meter tells millions of litres a minute.
    (reason,) = converter.account.reasons.values()
    assert converter.account.skipped_rows == reason.count // 2 == 2_279
    (flow,) = series(sent, "flow_m3h").values()
    assert len(flow) == 18_895 - 2_279
    assert 0 <= min(value for _, value in flow) <= max(value for _, value in flow) <= 6
    (register,) = series(sent, "water_m3").values()
    assert total(register) < 1
    converter, sent = convert("weusedto-toilet")
    assert (converter.account.rows, len(sent)) == (1_188, 1_189)
    (register,) = series(sent, "water_m3").values()
    assert total(register) == pytest.approx(1_184 * 0.012)


# --- the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs the command with a broker's URL; the tests' own signal handlers come back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    app = typer.Typer()
    app.command()(replay)

    def invoke(url: str, *arguments: object) -> Result:
        monkeypatch.setenv("MISTO_MQTT_URL", url)
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    yield invoke
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """A file of ten quarter hours with a bad value, and its mapping."""
    data, mapping = tmp_path / "data.csv", tmp_path / "own.yaml"
    rows = [f"2026-01-01T00:{minute:02}:00,{minute}" for minute in range(10)]
    data.write_text("\n".join(["t,v", *rows, "2026-01-01T00:20:00,bad"]))
    mapping.write_text(
        "version: 1\ntitle: Test\ntime: {column: t, zone: UTC}\ndevice: {address: replayed}\n"
        "readings: [{values: [{column: v, metric: power_w}]}]\n"
    )
    return data, mapping


def test_the_broker_gets_every_message_in_order(run: Any, own_mosquitto: MosquittoServer, small: Any) -> None:
    got: list[Any] = []
    reader = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="reader", protocol=mqtt.MQTTv5)
    ready = threading.Event()
    reader.on_message = lambda client, data, message: got.append((message.topic, message.qos, message.payload))
    reader.on_connect = lambda client, *unused: client.subscribe("misto/#", 1)
    reader.on_subscribe = lambda *unused: ready.set()
    reader.connect("127.0.0.1", own_mosquitto.port)
    reader.loop_start()
    try:
        assert ready.wait(10)
        data, mapping = small
        done = run(own_mosquitto.url, data, "--mapping", mapping, "--speed", 600)
        wait_for(lambda: len(got) == 10, "ten messages")
    finally:
        reader.disconnect()
        reader.loop_stop()
    assert done.exit_code == 0
    assert done.stdout == (
        "rows read: 11, skipped: 1\n  1 × v: is no number (such as 'bad'): line 12\n"
        "messages sent: 10, acknowledged by the broker: 10\n"
    )
    assert [(topic, qos, json.loads(payload)["power_w"]) for topic, qos, payload in got] == [
        ("misto/replayed/up", 1, float(number)) for number in range(10)
    ]


def test_a_dry_run_prints_and_sends_nothing(run: Any, small: Any) -> None:
    data, mapping = small
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    done = run(
        nowhere, data, "--mapping", mapping, "--dry-run", 2, "--from", "2026-01-01T00:03", "--to", "2026-01-01T00:07"
    )
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        'misto/replayed/up {"device":"replayed","time":"2026-01-01T00:03:00Z","power_w":3.0}',
        'misto/replayed/up {"device":"replayed","time":"2026-01-01T00:04:00Z","power_w":4.0}',
    ]
    assert "messages: 4, none sent" in done.stderr


def test_without_acknowledgement_it_fails(run: Any, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("misto.cli.replay._SETTLE_S", 1)
    data, mapping = small
    done = run(f"mqtt://127.0.0.1:{free_port()}", data, "--mapping", mapping, "--limit", 3)
    assert done.exit_code == 1
    assert "messages sent: 3, acknowledged by the broker: 0" in done.stdout
    assert "not everything was acknowledged: connecting to the broker at 127.0.0.1" in done.stderr


def test_mistakes_of_the_command_line_are_sentences(run: Any, small: Any) -> None:
    data, mapping = small
    for arguments, sentence in (
        (("--speed", "fast"), "--speed is 'fast'; expected max or a number of seconds a second, for example 3600"),
        (("--from", "noon"), "'noon' is no moment; expected for example 2018-04-09 or 2018-04-09T12:00:00Z"),
        (("--from", "2026-06-01"), "data.csv has nothing to send"),
    ):
        done = run("mqtt://127.0.0.1:1", data, "--mapping", mapping, *arguments)
        assert sentence in str(done.exception)


@pytest.mark.parametrize("name", SETS)
def test_the_inventory_is_valid(run: Any, name: str, tmp_path: Path) -> None:
    file = tmp_path / "city.yaml"
    done = run("mqtt://127.0.0.1:1", data_file(SETS[name]), "--mapping", name, "--write-inventory", file)
    assert done.exit_code == 0, done.exception
    inventory = read_inventory(file)
    points = [point for site in inventory.sites for point in site.points]
    assert len(points) == {"wyndham": 33, "edinburgh": 334, "opengrid-gas": 3}.get(name, 1)
    assert f"{len(points)} points; load it with: misto inventory load" in done.stdout


def test_the_way_into_the_database(
    run: Any, own_mosquitto: MosquittoServer, database_url: str, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Inventory, messages, ingest, keeper: bin-days without the copies, and the school's consumption."""

    def one(query: str) -> Any:
        row = database.execute(query).fetchone()
        assert row is not None
        return row[0]

    files = {name: data_file(SETS[name]) for name in ("wyndham", "nmecr-school")}
    with Process(
        "ingest", log=tmp_path / "ingest.log", port_setting="ingest_metrics_port",
        database_url=database_url, mqtt_url=own_mosquitto.url,
    ) as ingest:  # fmt: skip
        ingest.wait_well()
        for name, file in files.items():
            city = tmp_path / f"{name}.yaml"
            assert run(own_mosquitto.url, file, "--mapping", name, "--write-inventory", city).exit_code == 0
            sync_inventory(database, read_inventory(city), other_city=True)
            done = run(own_mosquitto.url, file, "--mapping", name)
            assert done.exit_code == 0, done.stdout
            expected = {"wyndham": 30_659, "nmecr-school": 8_748}[name]
            metric = {"wyndham": "fill_level_pct", "nmecr-school": "energy_kwh"}[name]
            count = f"SELECT count(*) FROM readings JOIN metric USING (metric_id) WHERE name = '{metric}'"
            wait_for(lambda count=count, expected=expected: one(count) >= expected, f"{name}: {expected}", 90)
            assert one(count) == expected
        assert ingest.stop() == 0
    assert one("SELECT count(*) FROM quarantine") == 0
    keeper = Keeper(KeeperConfig(database_url, 36_500, 7, 90), threading.Event())
    while keeper.derive(database):
        pass
    assert one("SELECT sum(amount) FROM consumption_hourly") == pytest.approx(266_104, abs=1)
    assert one("SELECT count(*) FROM collection") > 4_000
