"""Valid messages of every format, for tests that change them. A new envelope needs one here."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.profile import load_profiles, profile_examples

#: When the messages are received.
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
_NOW_MS = NOW_US // 1000
_SENT = "2026-11-23T09:59:00Z"
_EUI = "24e124000000a001"
_MILESIGHT = "AXVkA2f2AA=="


@dataclass(frozen=True)
class Sample:
    """A message that gives a reading, after the messages `before` of the same format that teach it to be read."""

    envelope: str
    topic: str
    payload: bytes
    before: tuple[tuple[str, bytes], ...] = ()


def _content(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).encode()


def sample(envelope: str, topic: str, content: Any, *before: tuple[str, Any]) -> Sample:
    """A sample of text, bytes or what becomes JSON."""
    return Sample(envelope, topic, _content(content), tuple((told, _content(value)) for told, value in before))


# Sparkplug on the wire


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _whole(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _metric(name: str, alias: int, value: float | None, unit: str = "") -> bytes:
    """A metric of type double; without a name as in data, by its alias."""
    out = (_bytes(1, name.encode()) if name else b"") + _whole(2, alias) + _whole(3, _NOW_MS) + _whole(4, 10)
    if unit:
        out += _bytes(9, _bytes(1, b"engUnit") + _bytes(2, _whole(1, 12) + _bytes(8, unit.encode())))
    return out + (_varint(13 << 3 | 1) + struct.pack("<d", value) if value is not None else _whole(7, 1))


def _sparkplug(seq: int, *metrics: bytes) -> bytes:
    return _whole(1, _NOW_MS) + b"".join(_bytes(2, each) for each in metrics) + _whole(3, seq)


_BIRTHS = (
    ("spBv1.0/city/NBIRTH/edge", _sparkplug(0, _bytes(1, b"bdSeq") + _whole(4, 8) + _whole(11, 4))),
    (
        "spBv1.0/city/DBIRTH/edge/meter",
        _sparkplug(1, _metric("Meter/Energy/Total", 1, 41.5, "MWh"), _metric("Meter/Power", 2, 250.0, "W"),
                   _metric("Phase A/Voltage", 3, 230.5, "V"), _metric("Meter/Odd", 4, 1.0, "turns")),
    ),
)  # fmt: skip

_HOMIE = {
    "homie": "5.0", "name": "Station", "version": 3,
    "nodes": {
        "meter": {"name": "Water", "properties": {"volume-total": {"name": "Volume", "datatype": "float", "unit": "L"},
                                                  "flow": {"datatype": "float", "unit": "L/min"}}},
        "room": {"properties": {"temperature": {"datatype": "float", "unit": "°F"}}},
    },
}  # fmt: skip

_DISCOVERY = (
    ("homeassistant/sensor/plug-77/energy/config",
     {"~": "plugs/77", "stat_t": "~/state", "dev": {"ids": ["plug-77"], "mf": "Acme", "name": "Plug"},
      "uniq_id": "plug-77_energy", "unit_of_meas": "Wh", "dev_cla": "energy", "stat_cla": "total_increasing",
      "val_tpl": "{{ value_json.energy['sum'] | float(0) }}"}),
    ("homeassistant/sensor/plug-77/power/config",
     {"state_topic": "plugs/77/state", "device": {"ids": ["plug-77"]}, "unit_of_measurement": "kW",
      "device_class": "power", "value_template": "{{ (value_json.power / 1000) | round(3) }}"}),
)  # fmt: skip

_TELEGRAM = "\r\n".join([
    "/XYZ5\\2M550T-1012", "", "1-3:0.2.8(50)", "0-0:1.0.0(261123104500W)", "1-0:1.8.1(001234.500*kWh)",
    "1-0:1.8.2(000100.250*kWh)", "1-0:1.7.0(00.000*kW)", "1-0:2.7.0(01.200*kW)", "1-0:32.7.0(229.0*V)",
    "0-1:24.1.0(003)", "0-1:24.2.1(261123104000W)(00512.100*m3)", "!",
])  # fmt: skip

_BIN = {
    "id": "urn:ngsi-ld:WasteContainer:Lviv:17", "type": "WasteContainer",
    "fillingLevel": {"type": "Property", "value": 0.62, "observedAt": _SENT},
    "temperature": {"type": "Property", "value": 288.15, "unitCode": "KEL", "observedAt": _SENT},
    "status": {"type": "Property", "value": "dropped"}, "serialNumber": {"type": "Property", "value": "WB-17"},
    "refDevice": {"type": "Relationship", "object": ["urn:ngsi-ld:Device:ultra-4"]},
}  # fmt: skip

_WRITTEN = (
    sample("chirpstack_v4", f"application/1/device/{_EUI}/event/up",
           {"deviceInfo": {"devEui": _EUI, "deviceProfileName": "EM400-MUD", "tags": {"misto_profile": "x"}}, "fPort": 85,
            "time": _SENT, "data": _MILESIGHT, "rxInfo": [{"rssi": -97, "snr": 7.2}]}),
    sample("chirpstack_v4", f"application/1/device/{_EUI}/event/up",
           {"deviceInfo": {"devEui": _EUI, "deviceProfileName": "EM400-MUD"}, "fPort": 85, "data": _MILESIGHT,
            "object": {"distance": 812, "battery": 90, "temperature": 21.5, "position": "normal"}}),
    sample("chirpstack_v3", "lora/x",
           {"applicationID": "7", "devEUI": "A81758FFFE00AA01", "deviceProfileName": "EM400-MUD", "fPort": 85,
            "data": _MILESIGHT, "objectJSON": "{\"distance\": 812}",
            "rxInfo": [{"rssi": -112, "loRaSNR": -3.5, "time": _SENT}]}),
    sample("tts", "v3/city@ttn/devices/bin-7/up",
           {"end_device_ids": {"device_id": "bin-7", "dev_eui": "70B3D57ED0000007"}, "received_at": _SENT,
            "uplink_message": {"f_port": 85, "frm_payload": _MILESIGHT, "received_at": _SENT,
                               "rx_metadata": [{"rssi": -101, "snr": 2.5, "time": _SENT}],
                               "version_ids": {"brand_id": "milesight-iot", "model_id": "em400-mud"}}}),
    sample("tts", "v3/city@ttn/devices/air/up",
           {"end_device_ids": {"device_id": "air", "dev_eui": "70B3D57ED0000008"}, "received_at": _SENT,
            "uplink_message": {"received_at": _SENT, "normalized_payload": [
                {"measurement": {"time": _SENT, "air": {"temperature": 10.5}, "battery": 3.6}},
                {"measurement": {"metering": {"water": {"total": 123450}}}}]}}),
    sample("thingpark", "x/y",
           {"DevEUI_uplink": {"Time": _SENT, "DevEUI": "0016C001FF00BB02", "FPort": "85", "payload_hex": "0175640367f600",
                              "LrrRSSI": "-88.0", "LrrSNR": 6.5, "DriverCfg": {"app": {"mId": "EM400-MUD"}},
                              "payload": {"distance": 812, "position": "normal"}}}),
    sample("netmore", "any",
           [{"devEui": "70b3d55460000aaa", "sensorType": "em400-mud", "timestamp": _SENT, "payload": "0175640367f600",
             "rssi": "-104", "snr": "-2", "fPort": "85", "messageType": "payload"}]),
    sample("dsmr", "dsmr/json",
           {"id": 8, "timestamp": "2026-11-23T10:45:00+01:00", "electricity_delivered_1": "00746.379",
            "electricity_delivered_2": "0100.000", "electricity_currently_delivered": "0.100", "phase_voltage_l1": 230,
            "extra_device_timestamp": "2026-11-23T10:40:00+01:00", "extra_device_delivered": "00512.100"}),
    sample("dsmr", "dsmr/raw", _TELEGRAM),
    sample("dsmr", "dsmr/reading/electricity_delivered_2", "00746.379"),
    sample("dsmr", "DSMR-API/energy_returned_tariff1", {"energy_returned_tariff1": [{"value": 1.5, "unit": "kWh"}]}),
    sample("emon", "emon/emontx4", {"time": 1795427880, "power1": 5, "e1": 2000, "power2": 7, "MSG": 4}),
    sample("emon", "emon/emontx4/power1", "623"),
    sample("openems", "edge/edge7/channel/_sum/all", {"GridActivePower": 25, "ConsumptionActivePower": 30}),
    sample("openems", "edge/edge7/channel/meter0/ActiveProductionEnergy", "5831900"),
    sample("ai_on_the_edge", "cellar/watermeter/main/json",
           {"value": "512.3020", "raw": "0512.3020", "pre": "512.3010", "error": "no error", "rate": "0.002",
            "timestamp": "2026-11-23T11:55:00+0200"}),
    sample("ai_on_the_edge", "gasmeter/left/value", "12.5"),
    sample("one_value", "a/meter/energy/total", "1500 Wh"),
    sample("one_value", "hm/status/Hall/POWER", {"val": 60.5, "ts": 1795427880000, "ack": True, "q": 0}),
    sample("prague", "bins",
           [{"id": 1, "container_id": 20123, "code": "0007/ 100C00001", "percent_calculated": 61, "upturned": 1,
             "temperature": 9, "battery_status": 3.7, "measured_at_utc": _SENT, "prediction": None, "firealarm": 0}]),
    sample("prague", "x",
           {"addr": "/9.9/EP4", "var": "EFwActi", "commodity": "electricity", "unit": "kWh", "value": "218.50",
            "timeUtc": _SENT}),
    sample("senml", "any/topic",
           [{"bn": "urn:dev:mac:0024befffe804ff1:", "bt": 1795427880, "bu": "A", "n": "voltage", "u": "V", "v": 231.5},
            {"n": "current", "t": 5, "v": 1.25}]),
    sample("ngsi", "any/topic", _BIN),
    sample("ngsi", "any/topic", {"subscriptionId": "5", "data": [_BIN]}),
    sample("ngsi", "any/topic", {"type": "FeatureCollection", "features": [
        {"type": "Feature", "id": "urn:ngsi-ld:WasteContainer:5",
         "properties": {"type": "WasteContainer", "fillingLevel": 0.5, "storedWasteCode": ["a"]}}]}),
    sample("fiware_iota", "/json/s3cr3t/bin-7/attrs", {"fillingLevel": 0.5, "temperature": 21, "TimeInstant": _SENT}),
    sample("fiware_iota", "/ul/s3cr3t/a/attrs", "t|21|h|40"),
    sample("thingsboard", "v1/gateway/telemetry",
           {"Room 1": [{"ts": 1795427880000, "values": {"temperature": 21, "humidity": 40}}, {"temperature": 20}]}),
    sample("thingsboard", "v1/devices/Bin 7/telemetry", {"ts": 1795427880000, "values": {"fillLevel": 70}}),
    sample("plain_json", "misto/a/up", {"time": _SENT, "power_w": 5, "energy_kwh": "7.25", "quality": "good"}),
    sample("plain_json", "x/y",
           {"device": "a", "time": _SENT, "quality": "estimated",
            "readings": [{"power_w": 5}, {"time": 1795427880, "power_w": 6}]}),
    sample("shelly_gen1", "shellies/shellyem-A1B2C3/emeter/1/power", "-431.27"),
    sample("shelly_gen1", "shellies/shellyem-A1B2C3/info",
           {"wifi_sta": {"rssi": -60}, "unixtime": 1795427880, "mac": "A1B2C3",
            "emeters": [{"power": 100.5, "total": 1250500.4, "voltage": 231.4, "is_valid": True}], "tmp": {"tC": 51.8}}),
    sample("shelly_gen2", "shellypro-a1b2c3d4e5f6/events/rpc",
           {"src": "shellypro-a1b2c3d4e5f6", "dst": "x", "method": "NotifyStatus",
            "params": {"ts": 1795427880.25, "switch:0": {"id": 0, "apower": 5.5, "aenergy": {"total": 17, "by_minute": [1]}},
                       "em:0": {"id": 0, "a_voltage": 230, "total_act_power": 5, "a_errors": []}}}),
    sample("tasmota", "tele/plug/SENSOR",
           {"Time": "2026-11-23T11:59:00", "ENERGY": {"Total": [1, 2, 3], "Power": [1, 2, 3], "Voltage": [230, 231, 232],
                                                      "Current": [1, 1, 1]}, "DS18B20-2": {"Temperature": 20},
            "TempUnit": "C"}),
    sample("tasmota", "stat/plug/STATUS10",
           {"StatusSNS": {"Time": "2026-11-23T11:59:00", "ENERGY": {"Total": 7, "Power": 1, "Voltage": 230}}}),
    sample("wmbusmeters", "wmbusmeters/M",
           {"_": "telegram", "id": "00012345", "meter": "any", "name": "M", "timestamp": "2026-11-23T09:58:00Z",
            "media": "heat", "total_energy_consumption_kwh": 2651, "total_volume_m3": 150.3, "power_kw": 1.5,
            "volume_flow_m3h": 0.2, "flow_temperature_c": 62.3, "status": "OK", "meter_datetime": "2026-11-23 11:30",
            "rssi_dbm": -70}),
    sample("zigbee2mqtt", "zigbee2mqtt/School 12/plug 1",
           {"power": 12, "energy": 1.5, "voltage": 230, "current": 0.1, "linkquality": 9, "last_seen": _SENT,
            "device": {"model": "TS011F", "friendlyName": "plug"}}),
    sample("zigbee2mqtt", "zigbee2mqtt/clamps",
           {"power_a": 100, "power_b": 20, "power_ab": 120, "energy_a": 5.5, "energy_b": 1, "linkquality": 9}),
    sample("homie", "homie/5/station-1/meter/volume-total", "12345.5",
           ("homie/5/station-1/$description", _HOMIE)),
    sample("homie", "homie/cellar/gas-meter/total", "4200",
           ("homie/cellar/$homie", "4.0.0"), ("homie/cellar/gas-meter/$properties", "total"),
           ("homie/cellar/gas-meter/$name", "Gas"), ("homie/cellar/gas-meter/total/$unit", "m³"),
           ("homie/cellar/gas-meter/total/$datatype", "float")),
    sample("ha_discovery", "plugs/77/state", {"energy": {"sum": "1500"}, "power": 230.4}, *_DISCOVERY),
    sample("sparkplug_b", "spBv1.0/city/DDATA/edge/meter",
           _sparkplug(2, _metric("", 1, 41.6), _metric("", 2, -7.0), _metric("", 3, None)), *_BIRTHS),
)  # fmt: skip


def _of_profiles() -> Iterable[Sample]:
    """The examples of the profiles that have a topic, for the formats whose fields profiles map."""
    for profile in load_profiles().values():
        for example in profile_examples(profile.id):
            if example.topic is not None:
                name = profile.file.envelopes[0]
                yield sample("chirpstack_v4" if name == "lorawan" else name, example.topic, example.payload)


def samples() -> list[Sample]:
    """Every message, those written here first."""
    return [*_WRITTEN, *_of_profiles()]
