"""What the fields of P1 ports are called by their bridges, and how a P1 telegram itself is read.

Sources: DSMR 5.0.2 "P1 Companion Standard" and e-MUCS-P1; DSMR-reader documentation, "MQTT"; the field names of the
arduino-dsmr library (DSMR-logger, DSMR-API, ESPHome), of the "P1 meter" firmware and of HomeWizard's P1 API v1 and v2.

A slot is what a field fills: `energy.1` is the register of tariff 1, `energy` that of all tariffs, `power` what is
drawn, `returned` what is fed in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.errors import Reason, Undecodable


@dataclass(frozen=True, slots=True)
class Slot:
    """What a field fills, and the factor to kWh, W, V, A, Hz, m³ or m³/h."""

    name: str
    factor: float = 1.0


def _slots() -> dict[str, Slot]:
    slots: dict[str, Slot] = {}

    def add(slot: str, factor: float, names: str) -> None:
        slots.update(dict.fromkeys(names.split(), Slot(slot, factor)))

    for tariff, level in (("1", "low"), ("2", "high")):
        add(f"energy.{tariff}", 1, f"electricity_delivered_{tariff} energy_delivered_tariff{tariff}"
            f" energy_delivered_tariff_{tariff} energy_consumed_tariff_{tariff} energy_consumed_tariff{tariff}"
            f" total_power_import_t{tariff}_kwh energy_import_t{tariff}_kwh")  # fmt: skip
        add(f"export.{tariff}", 1, f"electricity_returned_{tariff} energy_returned_tariff{tariff}"
            f" energy_returned_tariff_{tariff} energy_produced_tariff_{tariff} energy_produced_tariff{tariff}"
            f" total_power_export_t{tariff}_kwh energy_export_t{tariff}_kwh")  # fmt: skip
        # The "P1 meter" firmware multiplies all but the voltages by a thousand.
        add(f"energy.{tariff}", 1e-3, f"consumption_{level}_tarif")
        add(f"export.{tariff}", 1e-3, f"returndelivery_{level}_tarif")
    add("energy", 1, "total_power_import_kwh energy_import_kwh energy_delivered_lux energy_delivered_luxembourg"
        " energy_consumed_luxembourg total_energy_consumed")  # fmt: skip
    add("export", 1, "total_power_export_kwh energy_export_kwh energy_returned_lux energy_returned_luxembourg"
        " energy_produced_luxembourg total_energy_produced")  # fmt: skip
    add("power", 1e3, "electricity_currently_delivered power_delivered power_consumed")
    add("returned", 1e3, "electricity_currently_returned power_returned power_produced")
    add("power", 1, "actual_consumption active_power_w power_w")
    add("returned", 1, "actual_returndelivery")
    for phase in "123":
        add(f"voltage.{phase}", 1, f"phase_voltage_l{phase} voltage_l{phase} voltage_phase_{phase} l{phase}_voltage"
            f" active_voltage_l{phase}_v voltage_l{phase}_v")  # fmt: skip
        add(f"current.{phase}", 1, f"phase_power_current_l{phase} current_l{phase} current_phase_{phase}"
            f" active_current_l{phase}_a current_l{phase}_a")  # fmt: skip
        add(f"current.{phase}", 1e-3, f"l{phase}_instant_power_current")
        add(f"power.{phase}", 1e3, f"phase_currently_delivered_l{phase} power_delivered_l{phase}"
            f" power_consumed_phase_{phase} power_consumed_l{phase}")  # fmt: skip
        add(f"returned.{phase}", 1e3, f"phase_currently_returned_l{phase} power_returned_l{phase}"
            f" power_produced_phase_{phase} power_produced_l{phase}")  # fmt: skip
        add(f"power.{phase}", 1, f"active_power_l{phase}_w power_l{phase}_w l{phase}_instant_power_usage")
        add(f"returned.{phase}", 1, f"l{phase}_instant_power_returndelivery")
    add("voltage", 1, "active_voltage_v voltage_v")
    add("current", 1, "active_current_a current_a")
    add("frequency", 1, "active_frequency_hz frequency_hz")
    add("gas", 1, "extra_device_delivered gas_delivered gas_consumed gas_consumed_belgium gas_delivered_be"
        " total_gas_m3")  # fmt: skip
    add("gas", 1e-3, "gas_meter_m3")
    add("water", 1, "water_delivered water_consumed_belgium total_liter_m3")
    add("time", 1, "timestamp read_at")
    add("gas_time", 1, "extra_device_timestamp gas_timestamp gas_delivered_timestamp")
    return slots


#: Name of a field, in lower case → what it fills.
SLOTS = _slots()

#: Names that no other format has: a topic that ends in one is a P1 bridge's.
TELLING = frozenset(
    name for name in SLOTS
    if name.startswith(("electricity_", "phase_", "extra_device_", "energy_delivered_tariff", "energy_returned_tariff",
                        "energy_consumed_tariff", "energy_produced_tariff", "returndelivery", "consumption_low_tarif",
                        "consumption_high_tarif", "total_power_import", "total_power_export", "energy_delivered_lux",
                        "energy_returned_lux", "energy_import_t", "energy_export_t", "gas_consumed_belgium"))
    or name.endswith("_instant_power_current")
)  # fmt: skip

#: Two names of different fields mark content as a P1 bridge's.
_IN_CONTENT = TELLING | {"power_delivered", "power_returned", "total_gas_m3", "smr_version", "gas_delivered"}


def is_p1_content(names: frozenset[str]) -> bool:
    """Whether the keys of an object are those of a P1 bridge."""
    return bool(TELLING & names) and len(_IN_CONTENT & names) >= 2


_LINE = re.compile(r"^(?P<obis>\d-\d:\d{1,2}\.\d{1,2}\.\d{1,2})(?P<values>(?:\([^()\r\n]{0,200}\))+)", re.MULTILINE)
_VALUE = re.compile(r"\(([^()]*)\)")
_NUMBER = re.compile(r"^\d{1,12}(?:\.\d{1,6})?$")
_OBIS = {
    "1.8.0": "energy", "1.8.1": "energy.1", "1.8.2": "energy.2", "2.8.0": "export", "2.8.1": "export.1",
    "2.8.2": "export.2", "1.7.0": "power", "2.7.0": "returned", "32.7.0": "voltage.1", "52.7.0": "voltage.2",
    "72.7.0": "voltage.3", "31.7.0": "current.1", "51.7.0": "current.2", "71.7.0": "current.3",
    "21.7.0": "power.1", "41.7.0": "power.2", "61.7.0": "power.3", "22.7.0": "returned.1", "42.7.0": "returned.2",
    "62.7.0": "returned.3", "14.7.0": "frequency",
}  # fmt: skip
_UNIT_FACTORS = {"kWh": 1.0, "Wh": 1e-3, "kW": 1e3, "W": 1.0, "V": 1.0, "A": 1.0, "Hz": 1.0, "m3": 1.0, "dm3": 1e-3}
#: Several times what a meter with four others on its bus sends.
_LONGEST_TELEGRAM = 16_384
#: M-Bus device types of the other meters on the port.
_KINDS = {"003": "gas", "007": "water", "006": "water"}


def read_telegram(text: str) -> dict[str, tuple[float | str, float]]:
    """Slots of a P1 telegram with value and factor; `time` and `gas_time` are texts. Raises `Undecodable`."""
    if len(text) > _LONGEST_TELEGRAM:
        raise Undecodable(Reason.TOO_LARGE, f"a P1 telegram has at most {_LONGEST_TELEGRAM} characters")
    _check(text)
    found: dict[str, tuple[float | str, float]] = {}
    kinds: dict[str, str] = {}
    others: list[tuple[str, str, str]] = []
    for match in _LINE.finditer(text):
        medium, _, code = match["obis"].partition(":")
        values = _VALUE.findall(match["values"])
        if medium.startswith("1-"):
            _fill(found, _OBIS.get(code), values[-1])
        elif match["obis"] == "0-0:1.0.0":
            found["time"] = (values[0], 1.0)
        elif code == "24.1.0":
            kinds[medium] = values[0]
        elif code in ("24.2.1", "24.2.3") and len(values) == 2:
            others.append((medium, values[0], values[1]))
    for medium, moment, value in others:
        slot = _KINDS.get(kinds.get(medium, ""))
        if slot is not None and slot not in found and _fill(found, slot, value):
            found[f"{slot}_time"] = (moment, 1.0)
    return found


def _fill(found: dict[str, tuple[float | str, float]], slot: str | None, told: str) -> bool:
    number, _, unit = told.partition("*")
    if slot is None or unit not in _UNIT_FACTORS or not _NUMBER.match(number):
        return False
    found[slot] = (float(number), _UNIT_FACTORS[unit])
    return True


def _check(text: str) -> None:
    """The telegram's CRC16, which version 2 does not have."""
    end = text.rfind("!")
    if not text.startswith("/") or end < 0:
        raise Undecodable(Reason.BAD_STRUCTURE, "it is no whole P1 telegram, from / to !")
    told = text[end + 1 :].strip()
    if not told:
        return
    try:
        expected = int(told[:8], 16)
    except ValueError:
        raise Undecodable(Reason.BAD_STRUCTURE, "the P1 telegram ends in no checksum") from None
    for whole in (text[: end + 1], text[: end + 1].replace("\r\n", "\n").replace("\n", "\r\n")):
        if _crc16(whole.encode("latin-1", "replace")) == expected:
            return
    raise Undecodable(Reason.BAD_VALUE, "the P1 telegram's checksum is wrong")


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc
