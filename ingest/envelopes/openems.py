"""OpenEMS Edge, controller "Api MQTT": `edge/<edge>/channel/<component>/<Channel>` with a bare value.

Sources: OpenEMS documentation, "Controller Api MQTT"; the channels of the natures ElectricityMeter, Sum, SymmetricEss
and Thermometer, whose units are W, var, Wh, mV, mA, mHz and tenths of a degree. A positive power enters the grid of the
building, and ActiveProductionEnergy is its register; ActiveConsumptionEnergy is that of the other direction.

Each component is a device `<edge>/<component>`. The sums (`_sum`) of grid, production, consumption and storage are its
channels `grid`, `production`, `consumption` and `ess`. Values of one phase, of a day, and states are no readings.
`lastUpdate` stands on a topic of its own, so the time is that of reception.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.envelopes._moments import Moments
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_value
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_TOPIC = re.compile(
    r"(?:^|/)edge/(?P<edge>[^/]+)/(?:channel/(?:(?P<component>[^/]+)/(?P<channel>[^/]+)|lastUpdate)|"
    r"edgeConfig(?:/.*)?|events?(?:/.*)?|currentData(?:/.*)?)$"
)

# Channel → metric and factor from OpenEMS' unit.
_METER: dict[str, tuple[str, float]] = {
    "ActivePower": ("power_w", 1), "ReactivePower": ("reactive_power_var", 1),
    "ActiveProductionEnergy": ("energy_kwh", 1e-3), "ActiveConsumptionEnergy": ("energy_export_kwh", 1e-3),
    "Voltage": ("voltage_v", 1e-3), "Current": ("current_a", 1e-3), "Frequency": ("frequency_hz", 1e-3),
    **{f"VoltageL{n}": (f"voltage_l{n}_v", 1e-3) for n in (1, 2, 3)},
    **{f"ActivePowerL{n}": (f"power_l{n}_w", 1) for n in (1, 2, 3)},
    **{f"CurrentL{n}": (f"current_l{n}_a", 1e-3) for n in (1, 2, 3)},
    **{f"ActivePowerL{n}": (f"power_l{n}_w", 1) for n in (1, 2, 3)},
    "ActiveChargeEnergy": ("energy_export_kwh", 1e-3), "ActiveDischargeEnergy": ("energy_kwh", 1e-3),
    "ActualPower": ("power_w", 1), "ActualEnergy": ("energy_kwh", 1e-3),
    "ApparentPower": ("apparent_power_va", 1),
}  # fmt: skip
# Channel of the sums → channel of the device, metric and factor.
_SUM: dict[str, tuple[str, str, float]] = {
    "GridActivePower": ("grid", "power_w", 1), "GridBuyActiveEnergy": ("grid", "energy_kwh", 1e-3),
    "GridSellActiveEnergy": ("grid", "energy_export_kwh", 1e-3),
    "ProductionActivePower": ("production", "power_w", 1),
    "ProductionActiveEnergy": ("production", "energy_kwh", 1e-3),
    "ConsumptionActivePower": ("consumption", "power_w", 1),
    "ConsumptionActiveEnergy": ("consumption", "energy_kwh", 1e-3),
    "EssActivePower": ("ess", "power_w", 1), "EssActiveDischargeEnergy": ("ess", "energy_kwh", 1e-3),
    "EssActiveChargeEnergy": ("ess", "energy_export_kwh", 1e-3), "EssReactivePower": ("ess", "reactive_power_var", 1),
}  # fmt: skip
_IGNORED = re.compile(
    r"^(?:State|_Property.*|.*Daily|.*Max\w*|.*Min\w*|.*L[123]{1,2}|.*Ac(?:tive)?(?:Power|Energy)|.*Dc\w*|.*Soc|"
    r".*Capacity|.*Mode|.*Level|.*Failed|.*Fault|.*Alarm|Unmanaged\w*|Max\w*|Min\w*|Allowed\w*|Debug\w*|Set\w*)$"
)
_MOST_CHANNELS = 500


def _owns_topic(topic: str) -> bool:
    return _TOPIC.search(topic) is not None


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    match = _TOPIC.search(topic)
    if match is None:
        raise Undecodable(Reason.NO_DEVICE, "OpenEMS names its component only by the topic edge/<id>/channel/…")
    if match["component"] is None:
        raise NotAReading("OpenEMS tells of itself")
    component = match["component"]
    address = device_address(f"{match['edge']}/{component}")
    text = payload.strip()
    if text in (b"", b"null", b"UNDEFINED", b"-"):
        raise NotAReading("a channel of OpenEMS without a value")
    try:
        value = json_value(payload)
    except Undecodable:
        # A text channel's value stands without quotes.
        value = text[:60].decode(errors="replace")
    moments = Moments()
    if isinstance(value, dict):
        for channel, told in list(value.items())[:_MOST_CHANNELS]:
            _put(moments, address, component, channel.rpartition("/")[2], told)
    else:
        _put(moments, address, component, match["channel"], value)
    found = moments.result(address)
    if not found:
        raise NotAReading(f"OpenEMS' channel {component[:60]}/{match['channel'][:60]} is no reading")
    return found


def _put(moments: Moments, address: str, component: str, channel: str, told: Any) -> None:
    if component == "_sum":
        kind, metric, factor = _SUM.get(channel, ("", "", 0.0))
    else:
        kind = ""
        metric, factor = _METER.get(channel, ("", 0.0))
        if channel == "Temperature" and component.lower().startswith("thermometer"):
            metric, factor = "temperature_c", 0.1
    if not metric:
        if isinstance(told, int | float) and not isinstance(told, bool) and not _IGNORED.match(channel[:80]):
            moments.unknown(f"{component}/{channel}")
        return
    try:
        value = None if told is None else number(told) * factor
    except ValueError as error:
        moments.problem(Reason.BAD_VALUE, f"{channel[:60]}: {error}")
        return
    moments.add(address, None, metric, value, field=channel, channel=kind)


def make(zone: ZoneInfo) -> list[Envelope]:
    """OpenEMS Edge; it sends no times with its values."""
    return [Envelope("openems", "OpenEMS", _owns_topic, lambda content: False, _decode, rank=10)]
