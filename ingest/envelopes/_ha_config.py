"""Home Assistant's discovery messages: which device, which topic, which value in it, and what that is.

Source: Home Assistant documentation, "MQTT", section "MQTT Discovery" (single components and whole devices, and the
abbreviated keys), "MQTT sensor", and the developers' "Sensor entity" (device and state classes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ingest.envelopes._described import (
    INTERNAL,
    Meaning,
    is_not_now,
    kind_of,
    meaning,
    phased,
    spelled_unit,
    without_phase,
    words,
)
from ingest.envelopes._ha_template import Template
from ingest.envelopes._units import fits
from ingest.envelopes.base import device_address
from ingest.errors import Reason, Undecodable


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ABBREVIATED = {
    "stat_t": "state_topic", "unit_of_meas": "unit_of_measurement", "dev_cla": "device_class",
    "stat_cla": "state_class", "val_tpl": "value_template", "uniq_id": "unique_id", "obj_id": "object_id",
    "def_ent_id": "default_entity_id", "dev": "device", "cmps": "components", "p": "platform",
    "avty": "availability", "avty_t": "availability_topic", "json_attr_t": "json_attributes_topic",
    "lrst_val_tpl": "last_reset_value_template", "ent_cat": "entity_category", "t": "topic",
}  # fmt: skip
_DEVICE_ABBREVIATED = {
    "ids": "identifiers", "cns": "connections", "mf": "manufacturer", "mdl": "model", "mdl_id": "model_id",
    "sw": "sw_version", "sn": "serial_number", "sa": "suggested_area",
}  # fmt: skip
_FACTS = {
    "manufacturer": "maker", "model": "model", "name": "name", "serial_number": "serial", "sw_version": "firmware",
    "suggested_area": "site",
}  # fmt: skip

_TOTALS = frozenset({"total", "total_increasing"})
#: Device class → momentary metrics, the first that the unit fits.
_GAUGES = {
    "power": ("power_w",), "apparent_power": ("apparent_power_va",), "reactive_power": ("reactive_power_var",),
    "power_factor": ("power_factor",), "voltage": ("voltage_v",), "current": ("current_a",),
    "frequency": ("frequency_hz",), "temperature": ("temperature_c",), "humidity": ("humidity_pct",),
    "battery": ("battery_pct",), "distance": ("distance_mm",), "signal_strength": ("rssi_dbm", "snr_db"),
    "carbon_dioxide": ("co2_ppm",), "atmospheric_pressure": ("air_pressure_hpa",), "volume_flow_rate": ("flow_m3h",),
    "wind_speed": ("wind_speed_ms",), "precipitation": ("rain_mm",), "irradiance": ("irradiance_wm2",),
    "illuminance": ("illuminance_lx",), "weight": ("weight_kg",), "pm1": ("pm1_ugm3",), "pm25": ("pm2_5_ugm3",),
    "pm10": ("pm10_ugm3",), "sound_pressure": ("sound_level_db",), "wind_direction": ("wind_direction_deg",),
    "moisture": ("soil_moisture_pct",), "volatile_organic_compounds_parts": ("tvoc_ppb",),
}  # fmt: skip
#: Device class → register, and that of the other direction.
_REGISTERS = {
    "energy": ("energy_kwh", "energy_export_kwh"),
    "reactive_energy": ("reactive_energy_kvarh", None),
    "water": ("water_m3", "water_backward_m3"),
    "gas": ("gas_m3", None),
}
_OTHER_WAY = _set(
    "export exported returned generation generated production produced yield feedin injection injected backward reverse"
)
#: Classes whose values have no number of the catalogue by definition.
_NO_READING = _set("timestamp date enum duration data_rate data_size monetary uptime energy_storage energy_distance")

_LONGEST_TEXT = 300
_LONGEST_FACT = 200


@dataclass(frozen=True, slots=True)
class Entity:
    """One value of a device. `meaning` None: no metric; `wanted` says whether to tell so when a value comes."""

    key: str
    address: str
    topic: str
    label: str
    template: Template | None
    meaning: Meaning | None
    wanted: bool
    unique: str
    channel: str


@dataclass(slots=True)
class Config:
    """What a discovery message tells. `quiet_topics` carry no readings; `removed` are keys of gone entities."""

    address: str
    facts: dict[str, str]
    entities: list[Entity] = field(default_factory=list)
    quiet_topics: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def read_config(component: str, node: str, object_id: str, content: dict[str, Any]) -> Config:
    """A discovery message of a component, or of a whole device (`component` is "device"). Raises `Undecodable`."""
    root = _expanded(content, _ABBREVIATED)
    _resolve_base(root)
    device = root.get("device")
    device = _expanded(device, _DEVICE_ABBREVIATED) if isinstance(device, dict) else {}
    address = device_address(_device_id(device) or _text(root, "unique_id") or node or object_id)
    facts = {fact: text for key, fact in _FACTS.items() if (text := _text(device, key)[:_LONGEST_FACT])}
    config = Config(address, facts)
    place = "/".join(part for part in (component, node, object_id) if part)
    if component != "device":
        _add(config, root, component, place, object_id, _device_id(device))
        return config
    components = root.pop("components", None)
    if not isinstance(components, dict):
        raise Undecodable(Reason.BAD_STRUCTURE, "a discovered device has no components", address)
    for name, told in components.items():
        if not isinstance(told, dict):
            raise Undecodable(Reason.BAD_STRUCTURE, f"the component {name[:60]!r} is no object", address)
        own = _expanded(told, _ABBREVIATED)
        key = f"{place}/{name[:_LONGEST_TEXT]}"
        if own.keys() <= {"platform"}:
            config.removed.append(key)  # so a component is taken away
            continue
        merged = {**root, **own}
        _resolve_base(merged)
        _add(config, merged, _text(own, "platform"), key, name[:_LONGEST_TEXT], _device_id(device))
    return config


def looks_like_config(content: Any) -> bool:
    """Whether an object is a discovery message, on whatever topic."""
    if not isinstance(content, dict):
        return False
    if isinstance(content.get("cmps", content.get("components")), dict):
        return isinstance(content.get("dev", content.get("device")), dict)
    named = any(key in content for key in ("unique_id", "uniq_id")) or isinstance(
        content.get("dev", content.get("device")), dict
    )
    return named and isinstance(content.get("state_topic", content.get("stat_t")), str)


def _add(config: Config, told: dict[str, Any], platform: str, key: str, object_id: str, device_id: str) -> None:
    """An entity, and topics that carry no readings."""
    availability = told.get("availability")
    listed = availability if isinstance(availability, list) else []
    quiet = [told.get("availability_topic"), told.get("json_attributes_topic")]
    quiet += [entry.get("topic", entry.get("t")) for entry in listed[:10] if isinstance(entry, dict)]
    config.quiet_topics += [topic for topic in quiet if isinstance(topic, str) and 0 < len(topic) <= _LONGEST_TEXT]
    topic = _text(told, "state_topic")
    if not topic:
        return
    if platform != "sensor":
        config.quiet_topics.append(topic)
        return
    template: Template | None = None
    label = (_text(told, "name") or object_id)[:60]
    try:
        template = _template(_text(told, "value_template") or "{{ value }}")
    except ValueError as error:
        label = f"{label}: {error}"
    own_words = set(words(device_id))
    names = [_text(told, name) for name in ("name", "object_id", "unique_id", "default_entity_id")] + [object_id]
    names += template.names if template else []
    named = [" ".join(word for word in words(name) if word not in own_words) for name in names if name]
    device_class = _text(told, "device_class")
    wanted = device_class not in _NO_READING and not any(is_not_now(name) for name in named)
    wanted = wanted and not _is_reset(told)
    found = _meaning(told, device_class, named) if wanted and template is not None else None
    # By Home Assistant's rule what has neither unit nor class is a text.
    is_text = not any(_text(told, name) for name in ("unit_of_measurement", "device_class", "state_class"))
    if found is None and (is_text or told.get("entity_category") is not None):
        wanted = False
    if found is not None and (kind := kind_of(found.metric)):
        config.facts.setdefault("kind", kind)
    channel = "-".join(word for word in words(object_id) if word not in own_words) or object_id
    unique = _text(told, "unique_id") or key
    config.entities.append(
        Entity(key, config.address, topic, label, template, found, wanted, unique, channel[:60].lower())
    )


@lru_cache(maxsize=2_000)
def _template(text: str) -> Template:
    """A template, one for all entities that have the same: it weighs more than all else of them."""
    return Template(text)


def _is_reset(told: dict[str, Any]) -> bool:
    """Whether a total begins anew every day or month: it says when it last did."""
    return told.get("state_class") == "total" and "{" in _text(told, "last_reset_value_template")


def _meaning(told: dict[str, Any], device_class: str, named: list[str]) -> Meaning | None:
    unit = _text(told, "unit_of_measurement")
    is_total = _text(told, "state_class") in _TOTALS
    found_words = {word for name in named for word in name.split()}
    phases = {without_phase(name.split())[1] for name in named} - {""}
    if None in phases or len(phases) > 1:
        return None
    phase = next(iter(phases), "") or ""
    if device_class in _REGISTERS:
        # Where no state class says so, the name must.
        is_told = is_total or ("state_class" not in told and any(meaning(name, unit, device_class) for name in named))
        return _register(device_class, unit, found_words) if is_told and not phase else None
    if device_class in _GAUGES or device_class == "pressure":
        return None if is_total else _gauge(device_class, unit, found_words, phase)
    if device_class not in ("", "none", "None", "volume"):
        return None
    for name in named:
        found = meaning(name, unit, " ".join(named)[:200], cumulative=is_total)
        if found is not None and (_is_counter(found.metric) or not is_total):
            return Meaning(found.metric, "", found.unit)
    return None


def _register(device_class: str, unit_text: str, found_words: set[str]) -> Meaning | None:
    metric, other = _REGISTERS[device_class]
    unit = spelled_unit(unit_text)
    if unit is None or not fits(metric, unit.symbol):
        return None
    if _OTHER_WAY & found_words:
        return Meaning(other, "", unit) if other else None
    return Meaning(metric, "", unit)


def _gauge(device_class: str, unit_text: str, found_words: set[str], phase: str) -> Meaning | None:
    unit = spelled_unit(unit_text)
    if unit is None:
        return Meaning("power_factor") if device_class == "power_factor" and not unit_text and not phase else None
    candidates = _GAUGES.get(device_class, ())
    if device_class == "pressure":
        candidates = ("air_pressure_hpa",) if unit.symbol == "hPa" else ("pressure_bar",)
    metric = next((name for name in candidates if fits(name, unit.symbol)), None)
    if metric == "voltage_v" and found_words & {"battery", "batt", "bat", "vbat", "vbatt"}:
        metric = "battery_v"
    elif metric == "temperature_c":
        metric = "device_temperature_c" if INTERNAL & found_words else metric
        metric = "supply_temperature_c" if "supply" in found_words else metric
        metric = "return_temperature_c" if "return" in found_words else metric
    elif metric == "humidity_pct" and found_words & {"soil", "moisture"}:
        return None
    metric = phased(metric, phase) if metric else None
    return Meaning(metric, "", unit) if metric else None


def _is_counter(metric: str) -> bool:
    return metric in ("pulse_count", "heat_carrier_m3") or any(metric in pair for pair in _REGISTERS.values())


def _device_id(device: dict[str, Any]) -> str:
    """The first identifier, or the address of the first connection."""
    identifiers = device.get("identifiers")
    for told in identifiers if isinstance(identifiers, list) else [identifiers]:
        if isinstance(told, str | int) and not isinstance(told, bool) and str(told).strip():
            return str(told)[:_LONGEST_TEXT]
    connections = device.get("connections")
    for pair in connections if isinstance(connections, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str) and pair[1].strip():
            return pair[1][:_LONGEST_TEXT]
    return ""


def _expanded(told: dict[str, Any], abbreviations: dict[str, str]) -> dict[str, Any]:
    return {abbreviations.get(key, key): value for key, value in told.items()}


def _resolve_base(told: dict[str, Any]) -> None:
    """`~` at the beginning or end of a topic is the base topic."""
    base = told.get("~")
    if not isinstance(base, str):
        return
    for key, value in told.items():
        if isinstance(value, str) and re.search(r"(?:^|_)(?:topic|t)$", key):
            if value.startswith("~"):
                value = base + value[1:]
            elif value.endswith("~"):
                value = value[:-1] + base
            told[key] = value
    availability = told.get("availability")
    for entry in availability if isinstance(availability, list) else []:
        if isinstance(entry, dict):
            _resolve_base_of(entry, base)


def _resolve_base_of(entry: dict[str, Any], base: str) -> None:
    for key in ("topic", "t"):
        value = entry.get(key)
        if isinstance(value, str) and value.startswith("~"):
            entry[key] = base + value[1:]


def _text(told: dict[str, Any], key: str) -> str:
    value = told.get(key)
    return value.strip() if isinstance(value, str) and len(value) <= _LONGEST_TEXT else ""
