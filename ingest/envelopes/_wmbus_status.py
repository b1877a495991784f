"""What a (w)M-Bus meter's status flags say of its readings.

Source: wmbusmeters' drivers and EN 13757-7, table "Meaning of the status byte". The rule, the first that fits:

- What happens in the pipe, at the place, to the battery or by someone's hand (leak, burst, dry, reverse flow, tamper,
  sabotage, low battery …), and what was and is over (`WAS_`, `PREV_`), leaves the readings good: the register is what
  the meter has counted.
- A temperature sensor that fails makes its temperature, and what is worked out from it (energy, power), suspect.
- A flow sensor that fails makes volume, flow, energy and power suspect; too much flow only the flow.
- An overflow of a phase makes that voltage or current, and energy and power, suspect.
- Any other error, failure, fault or defect makes everything suspect, also by bits that the driver has no name for.
- A bit without a name that is no error is told and changes nothing; any other word that is not known is told and makes
  everything suspect.
"""

from __future__ import annotations

import re
from functools import lru_cache

from catalogue.metrics import metrics

EVERYTHING = frozenset(metrics())
_NOTHING: frozenset[str] = frozenset()
_CALCULATED = frozenset({"energy_kwh", "energy_export_kwh", "power_w"})
_VOLUMES = frozenset({"water_m3", "water_backward_m3", "gas_m3", "heat_carrier_m3", "flow_m3h"})

_OVER = re.compile(r"^(?:WAS|PREV)_|_PREV_MONTH$|_PAST$")
_HARMLESS = re.compile(
    r"LEAK|BURST|BROKEN_PIPE|(?:^|_)DRY(?:_|$)|NO_FLOW|NO_CONSUMPTION|NO_USAGE|UNCHANGED|WITHOUT_CHANGES|REVERS|"
    r"BACK_?FLOW|FLOW_DIRECTION|CONTINUOUS_FLOW|MINIMUM_FLOW|UNDERFLOW|SUBMARINE|TAMPER|SABOTAGE|FRAUD|MAGNETIC|"
    r"MANIPULAT|REMOV|SEAL_BROKEN|STRONG_LIGHT|DISCONNECTED|BATTERY|POWER_LOW|POWER_FAIL|EOL|VERIFICATION_EXPIRED|"
    r"WIRELESS|SIZED$|CURRENT_LOW|TOO_LOW|(?:HIGH|LOW_\w+)_TEMPERATURE|OVERTEMPERATURE|EXTERNAL_ALARM|SUMMER_TIME|"
    r"RESET|RST$|INSTALL|SERVICE_EVENT|COM_BLOCK|CLOCK|RTC|DATE_TIME|MANUAL_TEST|SMOKE|DUST|RESERVED_BIT|^NO_ALARM$|"
    r"^(?:OK|BUSY|APP_BUSY|ALARM|GENERAL_ALARM|ABNORMAL_CONDITION|HF|LOW|HIGH|DROP|SURGE|TRANSIENT|OPEN|CLOSED)$|^OK_"
)
_TEMPERATURE = re.compile(r"TEMP|SENSOR_T\d|^T3_|(?:SUPPLY|RETURN)_SENSOR")
_SUPPLY = re.compile(r"SUPPLY|T1|SENSOR_1")
_RETURN = re.compile(r"RETURN|T2|SENSOR_2")
_FLOW = re.compile(
    r"FLOW_M|FLOW_SENSOR|^V\d_(?:AIR|COMM|WRONG)|AIR_INSIDE|PULSE_FIGURE|VOLUME_DETECTION|BLOCKED|DETECTOR_ERROR"
)
_TOO_MUCH = re.compile(r"MAXIMUM_FLOW|NOMINAL_FLOW|FLOW_ABOVE|INCREASED|OVERLOAD|SPEED_EXCEEDED|^OVERFLOW$")
_PHASE = re.compile(r"^(?P<what>[IV])_(?P<phase>[123])_OVERFLOW$")
_ERROR = re.compile(
    r"ERR|FAIL|FAULT|DEFECT|MALFUNCTION|INVALID|INTERRUPT|BREAK|SHORT|^WDT$|^CS$|^MEASUREMENT$|DEFICIEN"
)
_NAMELESS = re.compile(r"_(?:0X)?[0-9A-F]+$")
_MOST_FLAGS = 40


@lru_cache(maxsize=2000)
def judged(status: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """The metrics that a status text (`"OK"`, `"LEAK ERROR_FLAGS_40"`) makes suspect, and the flags nobody knows."""
    suspect: frozenset[str] = frozenset()
    unknown: list[str] = []
    for flag in re.split(r"[\s,;|]+", status.upper())[:_MOST_FLAGS]:
        if not flag:
            continue
        metrics_of_flag = _judged(flag)
        if metrics_of_flag is None or (_NAMELESS.search(flag) and "FLAGS" in flag):
            unknown.append(flag[:60])
        suspect |= EVERYTHING if metrics_of_flag is None else metrics_of_flag
    return suspect, tuple(unknown)


def _judged(flag: str) -> frozenset[str] | None:
    """The metrics that a flag makes suspect; None if it is not known."""
    if _OVER.search(flag) or _HARMLESS.search(flag):
        return _NOTHING
    phase = _PHASE.match(flag)
    if phase is not None:
        quantity = f"current_l{phase['phase']}_a" if phase["what"] == "I" else f"voltage_l{phase['phase']}_v"
        return _CALCULATED | {quantity}
    if flag == "FREQUENCY":
        return frozenset({"frequency_hz"})
    if flag.startswith("RH_"):
        return frozenset({"humidity_pct"})
    if _TEMPERATURE.search(flag):
        return _failed_sensor(flag)
    if _TOO_MUCH.search(flag):
        return frozenset({"flow_m3h"})
    if _FLOW.search(flag):
        return _VOLUMES | _CALCULATED
    if _ERROR.search(flag):
        return EVERYTHING
    return _NOTHING if _NAMELESS.search(flag) and ("FLAGS" in flag or flag.startswith("UNKNOWN_")) else None


def _failed_sensor(flag: str) -> frozenset[str]:
    if "T3" in flag:
        return _NOTHING  # of the buried or outlet pipe, of which nothing is stored
    supply, back = bool(_SUPPLY.search(flag)), bool(_RETURN.search(flag))
    sides = {"supply_temperature_c"} if supply else {"return_temperature_c"} if back else set()
    return _CALCULATED | (sides or {"supply_temperature_c", "return_temperature_c", "temperature_c"})
