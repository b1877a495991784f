"""Readings as the devices send them: the formats and field names of real models."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from simulators.city import Meter
from simulators.errors import SimulatorError
from simulators.plan import gateway_of

#: (meter, time in µs, values, number of the uplink) → (topic, payload)
Encode = Callable[[Meter, int, Mapping[str, float], int], tuple[str, bytes]]


def encoder_for(meter: Meter, zone: ZoneInfo) -> Encode:
    """How this meter's device speaks. Raises `SimulatorError` for a profile that no simulated device has."""
    match meter.profile:
        case None:
            return _plain
        case "milesight-em400-mud" | "milesight-em300-di":
            return _chirpstack
        case "eastron-sdm630-tasmota":
            return lambda meter, time_us, values, number: _tasmota(meter, time_us, values, zone)
    raise SimulatorError(
        f"point {meter.point.id}: no simulated device speaks as the profile {meter.profile!r}; use "
        "milesight-em400-mud, milesight-em300-di, eastron-sdm630-tasmota, or none for plain JSON"
    )


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _plain(meter: Meter, time_us: int, values: Mapping[str, float], number: int) -> tuple[str, bytes]:
    time = datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"misto/{meter.address}/up", _json({"device": meter.address, "time": time, **values})


def _chirpstack(meter: Meter, time_us: int, values: Mapping[str, float], number: int) -> tuple[str, bytes]:
    if meter.profile == "milesight-em400-mud":
        model = "EM400-MUD"
        fields: dict[str, object] = {
            "distance": int(values["distance_mm"]),
            "temperature": values["temperature_c"],
            "position": "tilt" if values["tilted"] else "normal",
        }
    else:
        model = "EM300-DI"
        fields = {
            "pulse": round(values["water_m3"] * 1000),
            "temperature": values["temperature_c"],
            "humidity": values["humidity_pct"],
        }
    # The battery rides along on every fourth uplink only.
    if number % 4 == 0:
        fields["battery"] = int(values["battery_pct"])
    application = "bins" if meter.point.kind == "bin" else "meters"
    raw = hashlib.blake2b(f"{meter.address}{time_us}".encode(), digest_size=16).digest()
    content: dict[str, object] = {
        "deduplicationId": str(uuid.UUID(bytes=raw)),
        "time": datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds"),
        "deviceInfo": {
            "tenantId": "5a1c31d4-0000-4000-8000-000000000001",
            "tenantName": "City",
            "applicationId": "5a1c31d4-0000-4000-8000-000000000002",
            "applicationName": application,
            "deviceProfileId": "5a1c31d4-0000-4000-8000-000000000003",
            "deviceProfileName": f"Milesight {model}",
            "deviceName": meter.point.id,
            "devEui": meter.address,
            "tags": {},
        },
        "devAddr": meter.address[-8:],
        "adr": True,
        "dr": 3,
        "fPort": 85,
        "confirmed": False,
        "data": base64.b64encode(raw[:9]).decode(),
        "object": fields,
        "rxInfo": [
            {
                "gatewayId": hashlib.blake2b(gateway_of(meter.site).encode(), digest_size=8).hexdigest(),
                "uplinkId": number,
                "rssi": int(values["rssi_dbm"]),
                "snr": values["snr_db"],
            }
        ],
    }
    # ChirpStack writes protobuf JSON: a zero is left out.
    if number:
        content["fCnt"] = number
    return f"application/{application}/device/{meter.address}/event/up", _json(content)


def _tasmota(meter: Meter, time_us: int, values: Mapping[str, float], zone: ZoneInfo) -> tuple[str, bytes]:
    local = datetime.fromtimestamp(time_us // 1_000_000, UTC).astimezone(zone)
    watts = values["power_w"]
    power = [round(watts * share) for share in (0.36, 0.33)]
    power.append(round(watts) - sum(power))
    energy = {
        "TotalStartTime": "2025-01-01T00:00:00",
        "Total": values["energy_kwh"],
        "Power": power,
        "ApparentPower": values["apparent_power_va"],
        "ReactivePower": values["reactive_power_var"],
        "Factor": values["power_factor"],
        "Frequency": values["frequency_hz"],
        "Voltage": [values[f"voltage_l{phase}_v"] for phase in (1, 2, 3)],
        "Current": [values[f"current_l{phase}_a"] for phase in (1, 2, 3)],
    }
    content = {"Time": local.strftime("%Y-%m-%dT%H:%M:%S"), "ENERGY": energy}
    return f"tele/{meter.address}/SENSOR", _json(content)


#: What damages a payload on its way: cut off, bits lost, another program's message. Each ends in quarantine.
_DAMAGES: tuple[Callable[[bytes], bytes], ...] = (
    lambda payload: payload[: max(2, len(payload) // 2)],
    lambda payload: b"\xff\xfe" + payload[2:],
    lambda payload: b"[]",
    lambda payload: payload.replace(b"{", b"(", 1),
)


def damaged(payload: bytes, number: int) -> bytes:
    """A payload that nobody can read any more."""
    return _DAMAGES[number % len(_DAMAGES)](payload)


#: What the summary calls the way a profile speaks.
FORMATS = {
    None: "plain JSON",
    "milesight-em400-mud": "ChirpStack",
    "milesight-em300-di": "ChirpStack",
    "eastron-sdm630-tasmota": "Tasmota",
}
