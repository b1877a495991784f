"""An NGSI entity of a Smart Data Model becomes readings of its device."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from ingest.envelopes import _ngsi_models as models
from ingest.envelopes._moments import Moments
from ingest.envelopes._names import by_name, by_name_and_unit, register
from ingest.envelopes._ngsi_entity import TIME_NAMES, Attribute, attributes, entity_time, moment_us, type_of
from ingest.envelopes._units import amount, fits, symbol_of
from ingest.errors import Reason
from ingest.numbers import number

_PERCENT_METRICS = frozenset(models.SHARES.values())
_LONGEST_FACT = 200
#: What no model names a unit for.
_UNIT_NEEDED = frozenset({"energy_export_kwh", "flow_m3h", "water_level_mm", "soil_moisture_pct", "co2_ppm"})


class EntityReader:
    """Reads one entity into `moments` under `address`. `fallback_us` is the time of an entity that tells none."""

    def __init__(self, moments: Moments, address: str, entity: dict[str, Any], fallback_us: int | None) -> None:
        self._moments = moments
        self._address = address
        self._kind = type_of(entity)
        self._found = list(attributes(entity))
        self._told = {attribute.name: attribute for attribute in self._found}
        self._time_us = fallback_us
        self._facts: dict[str, str] = {}
        self._controlled = self._controlled_properties()

    def read(self) -> None:
        """Every attribute that is a reading; an entity whose time is wrong is not read."""
        name, told = entity_time(self._found)
        if name:
            try:
                self._time_us = moment_us(told)
            except ValueError as error:
                self._moments.problem(Reason.BAD_VALUE, f"{self._address}: {name}: {error}")
                return
        for attribute in self._found:
            if attribute.name in TIME_NAMES or attribute.value is None:
                continue
            time_us = self._time_us
            if attribute.time is not None:
                try:
                    time_us = moment_us(attribute.time)
                except ValueError as error:
                    self._problem(attribute, f"its time: {error}")
                    continue
            if attribute.instance:
                self._moments.unknown(f"{attribute.name} of data set {attribute.instance}")
            else:
                self._attribute(attribute, time_us)
        self._moments.tell(self._address, self._facts)

    def _problem(self, attribute: Attribute, detail: str) -> None:
        self._moments.problem(Reason.BAD_VALUE, f"{attribute.name[:60]}: {detail}")

    def _attribute(self, attribute: Attribute, time_us: int | None) -> None:
        name, value = attribute.name, attribute.value
        if name in models.PHASES and not (name in models.PHASE_SUMS and not isinstance(value, dict)):
            self._phases(attribute, time_us)
        if name in models.PHASE_SUMS:
            self._phase_sum(attribute, time_us)
        elif name in models.PHASES:
            return
        elif name in models.SHARES:
            self._share(attribute, time_us, models.SHARES[name], value, attribute.unit)
        elif name in models.GAUGES or name in models.COUNTERS:
            metric, unit = models.GAUGES.get(name) or models.COUNTERS[name]
            self._add(attribute, time_us, metric, value, unit)
        elif name in models.STATES:
            self._add(attribute, time_us, models.STATES[name], value, None)
        elif name == "status":
            self._status(attribute, time_us)
        elif name == "rssi":
            self._signal(attribute, time_us)
        elif name == "value" and self._kind == "Device":
            self._device_value(attribute, time_us)
        elif self._kind == "DeviceMeasurement" and name in ("numValue", "value"):
            self._measurement(attribute, time_us)
        elif self._kind == "DeviceMeasurement" and name in ("textValue", "unit", "outlier"):
            return
        elif self._kind == "Device" and name in ("distance", "depth"):
            return  # where the device is, not what it measures
        elif name in models.FACTS:
            self._fact(models.FACTS[name], value)
        elif name not in models.IGNORED:
            self._by_name(attribute, time_us)

    def _add(
        self,
        attribute: Attribute,
        time_us: int | None,
        metric: str,
        value: Any,
        model_unit: str | None,
        *,
        unit: str | None = None,
        suspect: bool = False,
    ) -> None:
        """A value in the unit that it tells, else in that of its model; None: one must be told, but for states."""
        told = attribute.unit if unit is None else unit
        symbol = symbol_of(told) if told else model_unit
        if told and symbol is None:
            self._problem(attribute, f"its unit {told[:30]!r} is not known")
        elif symbol is not None and not fits(metric, symbol):
            self._problem(attribute, f"its unit {(told or symbol)[:30]!r} is none of {metric}")
        elif symbol is None and metric in _UNIT_NEEDED:
            self._moments.unknown(f"{attribute.name} without a unit")
        else:
            self._moments.add(
                self._address, time_us, metric, value, field=attribute.name, symbol=symbol, suspect=suspect
            )

    def _share(
        self,
        attribute: Attribute,
        time_us: int | None,
        metric: str,
        value: Any,
        unit: str,
        *,
        suspect: bool = False,
    ) -> None:
        """A share is 0…1 by its model, also where the unit is "one" (C62); above 1 or in P1 it is per cent."""
        if unit and symbol_of(unit) != "1":
            self._add(attribute, time_us, metric, value, "%", unit=unit, suspect=suspect)
            return
        if isinstance(value, bool):
            self._problem(attribute, f"is {str(value).lower()}, expected a number")
            return
        try:
            share = number(value)
        except ValueError as error:
            self._problem(attribute, str(error))
            return
        if share == -1:
            return  # "cannot be determined"
        told_in_percent = isinstance(value, str) and value.rstrip().endswith("%")
        symbol = "%" if told_in_percent or share > 1 else "1"
        self._moments.add(self._address, time_us, metric, share, field=attribute.name, symbol=symbol, suspect=suspect)

    def _phases(self, attribute: Attribute, time_us: int | None) -> None:
        unit, phases, single = models.PHASES[attribute.name]
        if attribute.name == "phaseCurrent" and "current" in self._told:
            return  # SolarEnergy tells both; its current is the measured one
        if not isinstance(attribute.value, dict):
            self._add(attribute, time_us, single, attribute.value, unit)
            return
        for phase, value in attribute.value.items():
            if phase == "L" and attribute.name in models.PHASE_SUMS:
                continue  # the whole, read as such
            metric = single if phase == "L" else phases.get(phase)
            if metric is not None:
                self._add(attribute, time_us, metric, value, unit)
            elif phase not in ("L1", "L2", "L3", "N"):
                self._moments.unknown(f"{attribute.name}.{phase}")

    def _phase_sum(self, attribute: Attribute, time_us: int | None) -> None:
        unit, metric, whole = models.PHASE_SUMS[attribute.name]
        if whole in self._told:
            return
        if not isinstance(attribute.value, dict):
            self._add(attribute, time_us, metric, attribute.value, unit)
        elif "L" in attribute.value:
            self._add(attribute, time_us, metric, attribute.value["L"], unit)
        elif all(attribute.value.get(phase) is not None for phase in ("L1", "L2", "L3")):
            try:
                total = sum(number(attribute.value[phase]) for phase in ("L1", "L2", "L3"))
            except ValueError as error:
                self._problem(attribute, str(error))
            else:
                self._add(attribute, time_us, metric, total, unit)

    def _status(self, attribute: Attribute, time_us: int | None) -> None:
        if self._kind != "WasteContainer":
            return
        value = attribute.value
        if isinstance(value, str) and value in models.STATUS:
            for metric, state in models.STATUS[value].items():
                if not any(name in self._told for name, told in models.STATES.items() if told == metric):
                    self._moments.add(self._address, time_us, metric, state, field="status")
        else:
            self._moments.unknown(f"status {str(value)[:40]}")

    def _signal(self, attribute: Attribute, time_us: int | None) -> None:
        """In dBm if its unit says so or nothing else is possible: older models tell 0…1, and -1 for unknown."""
        try:
            strength = number(attribute.value)
        except ValueError as error:
            self._problem(attribute, str(error))
            return
        if attribute.unit or strength < -1:
            self._add(attribute, time_us, "rssi_dbm", strength, "dBm")

    def _measurement(self, attribute: Attribute, time_us: int | None) -> None:
        controlled = self._controlled
        unit = attribute.unit
        if not unit and "unit" in self._told and isinstance(self._told["unit"].value, str):
            unit = self._told["unit"].value
        outlier = self._told.get("outlier")
        suspect = outlier is not None and outlier.value is True
        if len(controlled) != 1:
            self._moments.unknown(f"{attribute.name} of {', '.join(controlled[:5]) or 'no controlledProperty'}")
            return
        self._controlled_value(attribute, time_us, controlled[0], attribute.value, unit, suspect=suspect)

    def _controlled_value(
        self,
        attribute: Attribute,
        time_us: int | None,
        controlled: str,
        value: Any,
        unit: str,
        *,
        suspect: bool = False,
    ) -> None:
        metric, model_unit = models.CONTROLLED.get(controlled, ("", None))
        if not metric:
            self._moments.unknown(f"{attribute.name} of {controlled[:60]}")
        elif metric in _PERCENT_METRICS:
            self._share(attribute, time_us, metric, value, unit, suspect=suspect)
        else:
            self._add(attribute, time_us, metric, value, model_unit, unit=unit, suspect=suspect)

    def _controlled_properties(self) -> tuple[str, ...]:
        told = self._told.get("controlledProperty")
        if told is None:
            return ()
        parts = told.value[:50] if isinstance(told.value, list) else [told.value]
        return tuple(part[:60] for part in parts if isinstance(part, str))

    def _device_value(self, attribute: Attribute, time_us: int | None) -> None:
        """`t=21.5;h=40`, percent-encoded or not: abbreviations of what the device controls; or a single value."""
        controlled = self._controlled
        if not isinstance(attribute.value, str) or "=" not in unquote(attribute.value[:2000]):
            if len(controlled) == 1:
                self._controlled_value(attribute, time_us, controlled[0], attribute.value, attribute.unit)
            else:
                self._moments.unknown("value")
            return
        for pair in re.split(r"[;&|]", unquote(attribute.value[:2000])):
            key, equals, value = (part.strip() for part in pair.partition("="))
            prop = models.ABBREVIATIONS.get(key, key)
            # "l" is as well a lamp's light: only what the device says it controls is certain.
            if equals and (prop in controlled or (key in ("t", "h") and not controlled)):
                self._controlled_value(attribute, time_us, prop, value, "")
            elif pair.strip():
                self._moments.unknown(f"value.{key}")

    def _fact(self, fact: str, value: Any) -> None:
        parts = value if isinstance(value, list) else [value]
        text = ", ".join(part.strip() for part in parts[:5] if isinstance(part, str) and part.strip())
        if text and text.isprintable():
            self._facts.setdefault(fact, text[:_LONGEST_FACT])

    def _by_name(self, attribute: Attribute, time_us: int | None) -> None:
        """An attribute of no known model: its name, with its unit if it tells one."""
        symbol = symbol_of(attribute.unit) if attribute.unit else None
        metric: str | None
        channel = ""
        if isinstance(attribute.value, dict | list):
            metric = None
        elif symbol is not None:
            quantity = amount(symbol)
            if quantity is not None:
                metric = register(attribute.name, quantity, told=False)
            else:
                metric, channel = by_name_and_unit(attribute.name, symbol) or (None, "")
        elif attribute.unit:
            metric = None
        else:
            metric = by_name(attribute.name)
        if metric is None:
            told = f" in {attribute.unit[:20]}" if attribute.unit else ""
            self._moments.unknown(f"{attribute.name}{told}")
        else:
            self._moments.add(
                self._address,
                time_us,
                metric,
                attribute.value,
                field=attribute.name,
                symbol=symbol,
                channel=channel,
            )
