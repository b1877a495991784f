"""Messages as devices send them, for measuring how fast they are decoded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from catalogue.inventory import read_inventory
from ingest.message import Message
from misto.history import demo_city_file
from simulators.city import City
from simulators.messages import encoder_for

#: Devices that take turns: what is remembered of a device or a topic must not be the same one's each time.
_DEVICES = 1_000


def plain(count: int) -> list[Message]:
    """Misto's own JSON as in the design's goal: about 180 bytes with three metrics."""

    def one(device: int, at: datetime, number: int) -> tuple[str, object]:
        address = f"school-07-main-building-meter-{device:04d}"
        return f"misto/{address}/up", {
            "device": address, "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "energy_kwh": 48213.71 + number, "power_w": 5240.25, "voltage_v": 229.4, "quality": "good",
        }  # fmt: skip

    return _messages(count, one, spaced=True)


def simulated(profile: str, count: int) -> list[Message]:
    """Messages of a simulated device with this profile."""
    city = City(read_inventory(demo_city_file()))
    meter = next(meter for meter in city.meters if meter.profile == profile)
    encode = encoder_for(meter, ZoneInfo(city.inventory.city.time_zone))
    now = time.time_ns() // 1000
    times = meter.times_us(now - count * meter.interval_us, now)
    measured = meter.measure(times)
    return [
        Message(*encode(meter, int(at), {name: float(values[i]) for name, values in measured.items()}, i), now, 1)
        for i, at in enumerate(times)
    ]


def tts(count: int) -> list[Message]:
    """The Things Stack: a bin sensor with its decoded payload, heard by two gateways."""

    def one(device: int, at: datetime, number: int) -> tuple[str, object]:
        name, eui, told = f"bin-{device:04d}", f"24e124713d{device:06x}", at.isoformat()
        ids = {
            "device_id": name, "application_ids": {"application_id": "bins"}, "dev_eui": eui.upper(),
            "join_eui": "24E124C0002A0001", "dev_addr": "260B1234",
        }  # fmt: skip
        gateways = [
            {
                "gateway_ids": {"gateway_id": f"roof-{gateway}", "eui": f"A84041FFFF2A00{gateway:02d}"}, "time": told,
                "timestamp": 2463457000, "rssi": -97 - gateway, "channel_rssi": -97 - gateway, "snr": 7.2,
                "uplink_token": "ChgKFgoKcm9vZi10ZXN0EgioQEH//yoAARDo9NGWCRoMCPyW", "received_at": told,
            }
            for gateway in (1, 2)
        ]  # fmt: skip
        return f"v3/bins@ttn/devices/{name}/up", {
            "end_device_ids": ids,
            "correlation_ids": ["gs:uplink:01HZY2Y3Q5XW1B8R0T1J7K2M3N"],
            "received_at": told,
            "uplink_message": {
                "session_key_id": "AYfg8rhha5n+FWx0ZaAprA==", "f_port": 85, "f_cnt": number,
                "frm_payload": "A2dyAASCwAMFAAA=",
                "decoded_payload": {"battery": 87, "temperature": 11.4, "distance": 960, "position": "normal"},
                "rx_metadata": gateways,
                "settings": {
                    "data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7, "coding_rate": "4/5"}},
                    "frequency": "868100000", "timestamp": 2463457000, "time": told,
                },
                "received_at": told, "consumed_airtime": "0.061696s",
                "version_ids": {"brand_id": "milesight", "model_id": "em400-mud", "hardware_version": "1.0"},
                "network_ids": {"net_id": "000013", "tenant_id": "ttn", "cluster_id": "eu1"},
            },
        }  # fmt: skip

    return _messages(count, one)


def zigbee2mqtt(count: int) -> list[Message]:
    """A plug with a meter; its model is found by its fields."""

    def one(device: int, at: datetime, number: int) -> tuple[str, object]:
        return f"zigbee2mqtt/school 7/plug {device}", {
            "child_lock": "UNLOCK", "countdown": 0, "current": 0.43, "energy": 48.21 + number,
            "indicator_mode": "off/on", "last_seen": at.isoformat(timespec="milliseconds"), "linkquality": 149,
            "power": 96, "power_outage_memory": "restore", "state": "ON",
            "update": {"installed_version": 192, "latest_version": 192, "state": "idle"},
            "voltage": 229,
        }  # fmt: skip

    return _messages(count, one)


def wmbusmeters(count: int) -> list[Message]:
    """A heat meter's telegram."""

    def one(device: int, at: datetime, number: int) -> tuple[str, object]:
        return f"wmbusmeters/heat-{device:04d}", {
            "_": "telegram", "media": "heat", "meter": "kamheat", "name": f"heat-{device:04d}",
            "id": f"{67000000 + device}", "status": "OK",
            "total_energy_consumption_kwh": 48213.71 + number, "total_volume_m3": 1234.56,
            "volume_flow_m3h": 0.413, "t1_temperature_c": 71.4, "t2_temperature_c": 48.2, "power_kw": 11.1,
            "target_energy_kwh": 47810.2, "target_date": "2026-01-31", "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "device": "rtlwmbus[00000001]", "rssi_dbm": -83,
        }  # fmt: skip

    return _messages(count, one)


def shelly(count: int) -> list[Message]:
    """A three-phase meter of Shelly's second generation."""

    def one(device: int, at: datetime, number: int) -> tuple[str, object]:
        phases = {
            f"{phase}_{field}": value
            for phase in "abc"
            for field, value in {
                "current": 9.812, "voltage": 229.4, "act_power": 2140.1, "aprt_power": 2251.0, "pf": 0.95, "freq": 50.0,
            }.items()
        }  # fmt: skip
        total = {"n_current": None, "total_current": 28.1, "total_act_power": 5240.3, "total_aprt_power": 5480.2}
        address = f"shellypro3em-{device:012x}"
        return f"{address}/events/rpc", {
            "src": address, "dst": f"{address}/events", "method": "NotifyStatus",
            "params": {"ts": at.timestamp(), "em:0": {"id": 0, **phases, **total, "user_calibrated_phase": []}},
        }  # fmt: skip

    return _messages(count, one)


def _messages(
    count: int, one: Callable[[int, datetime, int], tuple[str, object]], *, spaced: bool = False
) -> list[Message]:
    now_us = time.time_ns() // 1000
    messages = []
    for number in range(count):
        at = datetime.fromtimestamp((now_us - (count - number) * 1_000_000) / 1e6, UTC)
        topic, content = one(number % _DEVICES, at, number)
        payload = json.dumps(content, separators=None if spaced else (",", ":")).encode()
        messages.append(Message(topic, payload, now_us, number % 65_000 + 1))
    return messages
