"""The simulated city: the same at every start, plausible, and understood by ingest."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from catalogue.inventory import Inventory, read_inventory
from catalogue.metrics import metrics
from ingest.decoder import Decoder
from ingest.envelopes import NotAReading, all_envelopes
from ingest.errors import Undecodable
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import load_profiles
from misto.history import demo_city_file
from misto.runtime import MosquittoServer
from simulators.bins import ROUND_DAYS
from simulators.city import City, Meter
from simulators.errors import SimulatorError
from simulators.history import history
from simulators.messages import damaged, encoder_for
from simulators.publisher import Publisher
from simulators.run import parcels
from tests.processes import wait_for

KYIV = ZoneInfo("Europe/Kyiv")
DAY_US = 86_400_000_000
WINTER = int(datetime(2026, 11, 16, tzinfo=KYIV).timestamp() * 1e6)  # a Monday


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return read_inventory(demo_city_file())


@pytest.fixture(scope="module")
def city(inventory: Inventory) -> City:
    return City(inventory)


def meters(city: City, kind: str) -> list[Meter]:
    return [meter for meter in city.meters if meter.point.kind == kind]


def test_the_demo_city_is_as_large_as_it_says(inventory: Inventory) -> None:
    kinds: dict[str, int] = defaultdict(int)
    for site in inventory.sites:
        kinds[site.kind] += 1
        for point in site.points:
            kinds[point.kind] += 1
            if point.kind == "bin":
                kinds[str(point.fraction)] += 1
    assert kinds["building"] == 40
    assert kinds["bin"] == 120
    assert all(kinds[name] > 0 for name in ("electricity", "heat", "gas", "water", "weather", *ROUND_DAYS))
    assert len(inventory.contractors) == 2
    assert all(48.88 < site.latitude < 48.97 and 24.65 < site.longitude < 24.78 for site in inventory.sites)


def chunks(city: City, hours: float) -> list[tuple[bytes, ...]]:
    return [
        (chunk.time_us.tobytes(), chunk.meter.tobytes(), chunk.metric_id.tobytes(), chunk.value.tobytes())
        for _, chunk in history(city, WINTER, WINTER + round(hours * 3.6e9))
    ]


def test_the_same_seed_is_the_same_city_and_another_is_another(inventory: Inventory) -> None:
    assert chunks(City(inventory), 8) == chunks(City(inventory), 8)
    assert chunks(City(inventory), 2) != chunks(City(inventory, seed=2), 2)


def test_history_is_in_order_and_does_not_depend_on_where_it_is_cut(city: City, inventory: Inventory) -> None:
    whole = next(chunk for _, chunk in history(city, WINTER, WINTER + DAY_US, window_us=DAY_US))
    cut = [chunk for _, chunk in history(City(inventory), WINTER, WINTER + DAY_US, window_us=3_600_000_000)]
    assert (np.diff(whole.time_us) >= 0).all()
    for column in ("time_us", "meter", "metric_id", "value", "quality"):
        assert (getattr(whole, column) == np.concatenate([getattr(chunk, column) for chunk in cut])).all()


def test_registers_only_rise_and_go_on_in_another_process(city: City, inventory: Inventory) -> None:
    for meter in city.meters:
        times = meter.times_us(WINTER, WINTER + 20 * DAY_US)
        for name, values in meter.measure(times).items():
            low, high = metrics()[name].range
            assert (values >= low).all(), (meter.point.id, name)
            assert (values <= high).all(), (meter.point.id, name)
            if metrics()[name].kind == "counter":
                assert (np.diff(values) >= 0).all(), (meter.point.id, name)
    again = City(inventory)
    late = again.meters[0].times_us(WINTER + 19 * DAY_US, WINTER + 20 * DAY_US)
    assert again.meters[0].measure(late)["energy_kwh"].tolist() == city.meters[0].measure(late)["energy_kwh"].tolist()


def yearly(meter: Meter, name: str) -> float:
    start = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp() * 1e6)
    ends = np.array([start, start + 364 * DAY_US])
    values = meter.measure(ends)[name]
    return float(values[1] - values[0])


def test_a_year_s_consumption_is_plausible(city: City) -> None:
    for meter in meters(city, "electricity"):
        per_m2 = yearly(meter, "energy_kwh") / float(meter.site.floor_area_m2 or 1)
        assert 10 < per_m2 < 250, (meter.point.id, per_m2)
    for meter in meters(city, "heat"):
        per_m2 = yearly(meter, "energy_kwh") / float(meter.site.floor_area_m2 or 1)
        assert 50 < per_m2 < 300, (meter.point.id, per_m2)


def test_a_school_sleeps_at_night_and_at_the_weekend(city: City) -> None:
    school = next(meter for meter in meters(city, "electricity") if meter.site.use == "school")
    hours = WINTER + np.arange(7 * 24, dtype=np.int64) * 3_600_000_000
    watts = school.measure(hours)["power_w"].reshape(7, 24)
    working = watts[:5, 9:15].mean()
    assert watts[:5, 1:5].mean() < 0.4 * working
    assert watts[5:, 9:15].mean() < 0.4 * working


def test_heat_follows_the_cold(city: City) -> None:
    days = WINTER + np.arange(60, dtype=np.int64) * DAY_US
    outdoors = meters(city, "weather")[0].measure(days)["temperature_c"]
    heat = np.mean([meter.measure(days)["power_w"] for meter in meters(city, "heat")], axis=0)
    assert np.corrcoef(outdoors, heat)[0, 1] < -0.85
    summer = np.array([int(datetime(2026, 7, 15, 3, tzinfo=KYIV).timestamp() * 1e6)])
    assert meters(city, "heat")[0].measure(summer)["power_w"][0] < 0.1 * heat.mean()


def test_bins_are_three_quarters_full_when_emptied(city: City) -> None:
    before = []
    for meter in meters(city, "bin"):
        times = meter.times_us(WINTER, WINTER + 30 * DAY_US)
        distance = meter.measure(times)["distance_mm"]
        assert meter.point.bin is not None
        geometry = meter.point.bin
        fill = 100 * (geometry.empty_mm - distance) / (geometry.empty_mm - geometry.full_mm)
        before += fill[:-1][np.diff(fill) < -25].tolist()
    assert 60 < np.mean(before) < 90


def test_every_message_is_understood(city: City) -> None:
    decoder = Decoder(all_envelopes(KYIV), load_profiles(), OneDevice(None, None), thorough=True)
    seen = set()
    for meter in city.meters:
        encode = encoder_for(meter, KYIV)
        times = meter.times_us(WINTER, WINTER + 2 * DAY_US)[:9]
        measured = meter.measure(times)
        for number, at in enumerate(times.tolist()):
            values = {name: float(column[number]) for name, column in measured.items()}
            topic, payload = encode(meter, at, values, number)
            (decoded,) = decoder.decode(Message(topic, payload, at + 1_000_000))
            assert decoded.device.address == meter.address
            assert decoded.problems == []
            assert decoded.unknown_fields == ()
            assert abs(decoded.time_us - at) < 1_000_000
            got = {metric: value for _, metric, value, _ in decoded.readings}
            for name, value in values.items():
                if metrics()[name].id in got:
                    assert got[metrics()[name].id] == pytest.approx(value, abs=0.51 if name == "power_w" else 1e-6), (
                        name
                    )
            seen.add(decoded.envelope)
    assert seen == {"plain_json", "chirpstack_v4", "tasmota"}


def test_damaged_messages_are_garbage(city: City) -> None:
    decoder = Decoder(all_envelopes(KYIV), load_profiles(), OneDevice(None, None))
    for number, parcel in enumerate(islice(parcels(city, WINTER), 2_000)):
        with pytest.raises(Undecodable):
            decoder.decode(Message(parcel.topic, damaged(parcel.payload, number), parcel.sent_us))
    with pytest.raises(NotAReading):
        decoder.decode(Message("tele/x/STATE", b"{}", WINTER))


def test_a_profile_that_nobody_simulates_is_a_sentence(city: City) -> None:
    meter = city.meters[0]
    other = replace(meter, profile="some-other")
    with pytest.raises(SimulatorError, match="no simulated device speaks as the profile 'some-other'"):
        encoder_for(other, KYIV)


def test_the_publisher_counts_what_the_broker_acknowledged_through_a_restart(own_mosquitto: MosquittoServer) -> None:
    got: set[bytes] = set()
    reader = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False, protocol=mqtt.MQTTv311)
    reader.on_message = lambda client, data, message: got.add(message.payload)
    reader.on_connect = lambda client, *unused: client.subscribe("misto/#", 1)
    reader.reconnect_delay_set(1, 1)
    reader.connect("127.0.0.1", own_mosquitto.port)
    reader.loop_start()
    publisher = Publisher(own_mosquitto.url, "simulator", threading.Event())
    try:
        wait_for(lambda: publisher.state == "connected", "connected")
        for number in range(300):
            publisher.send("misto/a/up", str(number).encode())
        own_mosquitto.stop()
        wait_for(lambda: "away" in publisher.state, "the publisher says that the broker is away")
        for number in range(300, 600):
            publisher.send("misto/a/up", str(number).encode())
        own_mosquitto.start()
        assert publisher.settle(30)
        assert (publisher.sent, publisher.acknowledged) == (600, 600)
        wait_for(lambda: len(got) == 600, "everything arrived")
    finally:
        publisher.close()
        reader.disconnect()
        reader.loop_stop()
