"""Units that the platforms' messages name, as closed tables: a message's text never reaches a unit parser.

Sources: UN/CEFACT Recommendation 20 ("Codes for Units of Measure"), RFC 8428 section 12.1 and RFC 8798 section 5
(SenML's units and secondary units).
"""

from __future__ import annotations

from catalogue.metrics import Metric, metrics

#: Symbol → quantity → (factor, offset) to the quantity's base: kWh, kvarh, W, var, VA, V, A, Hz, °C, %, mm, m³, m³/h,
#: Pa, m/s, W/m², ppm, °, dBm, dB, one.
_CONVERSIONS: dict[str, dict[str, tuple[float, float]]] = {
    "1": {"ratio": (1, 0), "share": (100, 0), "count": (1, 0), "state": (1, 0)},
    "%": {"share": (1, 0), "ratio": (0.01, 0)},
    "‰": {"share": (0.1, 0)},
    "%RH": {"share": (1, 0)},
    "%EL": {"share": (1, 0)},
    "count": {"count": (1, 0)},
    "ppm": {"concentration": (1, 0)},
    "degC": {"temperature": (1, 0)},
    "K": {"temperature": (1, -273.15)},
    "degF": {"temperature": (5 / 9, -160 / 9)},
    "J": {"energy": (1 / 3.6e6, 0)},
    "kJ": {"energy": (1 / 3600, 0)},
    "MJ": {"energy": (1 / 3.6, 0)},
    "GJ": {"energy": (1 / 0.0036, 0)},
    "Wh": {"energy": (0.001, 0)},
    "kWh": {"energy": (1, 0)},
    "MWh": {"energy": (1000, 0)},
    "GWh": {"energy": (1e6, 0)},
    "vars": {"reactive_energy": (1 / 3.6e6, 0)},
    "varh": {"reactive_energy": (0.001, 0)},
    "kvarh": {"reactive_energy": (1, 0)},
    "W": {"power": (1, 0)},
    "kW": {"power": (1000, 0)},
    "MW": {"power": (1e6, 0)},
    "var": {"reactive_power": (1, 0)},
    "kvar": {"reactive_power": (1000, 0)},
    "VA": {"apparent_power": (1, 0)},
    "kVA": {"apparent_power": (1000, 0)},
    "V": {"voltage": (1, 0)},
    "mV": {"voltage": (0.001, 0)},
    "kV": {"voltage": (1000, 0)},
    "A": {"current": (1, 0)},
    "mA": {"current": (0.001, 0)},
    "Hz": {"frequency": (1, 0)},
    "m3": {"volume": (1, 0)},
    "l": {"volume": (0.001, 0)},
    "ml": {"volume": (1e-6, 0)},
    "hl": {"volume": (0.1, 0)},
    "m3/h": {"flow": (1, 0)},
    "m3/min": {"flow": (60, 0)},
    "m3/s": {"flow": (3600, 0)},
    "l/h": {"flow": (0.001, 0)},
    "l/min": {"flow": (0.06, 0)},
    "l/s": {"flow": (3.6, 0)},
    "mm": {"length": (1, 0)},
    "cm": {"length": (10, 0)},
    "m": {"length": (1000, 0)},
    "km": {"length": (1e6, 0)},
    "in": {"length": (25.4, 0)},
    "Pa": {"pressure": (1, 0)},
    "hPa": {"pressure": (100, 0)},
    "kPa": {"pressure": (1000, 0)},
    "bar": {"pressure": (1e5, 0)},
    "m/s": {"speed": (1, 0)},
    "km/h": {"speed": (1 / 3.6, 0)},
    "W/m2": {"irradiance": (1, 0)},
    "deg": {"angle": (1, 0)},
    "rad": {"angle": (57.29577951308232, 0)},
    "lx": {"illuminance": (1, 0)},
    "g": {"mass": (0.001, 0)},
    "kg": {"mass": (1, 0)},
    "t": {"mass": (1000, 0)},
    "ug/m3": {"mass_concentration": (1, 0)},
    "mg/m3": {"mass_concentration": (1000, 0)},
    "ppb": {"concentration": (0.001, 0)},
    "dBm": {"dBm": (1, 0)},
    "dBW": {"dBm": (1, 30)},
    "dB": {"dB": (1, 0)},
}

#: UN/CEFACT common code → symbol. HPA is no code for hectopascal (that is A97), but the data models write it.
CEFACT = {
    "CEL": "degC", "FAH": "degF", "KEL": "K", "P1": "%", "C62": "1", "NIU": "1", "UDT0000016": "%", "59": "ppm",
    "JOU": "J", "KJO": "kJ", "3B": "MJ", "GV": "GJ", "WHR": "Wh", "KWH": "kWh", "MWH": "MWh", "GWH": "GWh",
    "K3": "kvarh", "KVAR": "kvar", "WTT": "W", "KWT": "kW", "MAW": "MW", "D44": "var", "KVR": "kvar",
    "D46": "VA", "KVA": "kVA", "VLT": "V", "2Z": "mV", "KVT": "kV", "AMP": "A", "4K": "mA", "HTZ": "Hz",
    "MTQ": "m3", "LTR": "l", "DMQ": "l", "MLT": "ml", "CMQ": "ml", "HLT": "hl",
    "MQH": "m3/h", "MQS": "m3/s", "G53": "m3/min", "L2": "l/min", "E32": "l/h", "G51": "l/s",
    "MMT": "mm", "CMT": "cm", "MTR": "m", "KMT": "km", "INH": "in",
    "PAL": "Pa", "A97": "hPa", "HPA": "hPa", "MBR": "hPa", "KPA": "kPa", "BAR": "bar",
    "MTS": "m/s", "KMH": "km/h", "D54": "W/m2", "DD": "deg", "C81": "rad", "DBM": "dBm", "2N": "dB",
    "LUX": "lx", "KGM": "kg", "GRM": "g", "TNE": "t", "GQ": "ug/m3", "GP": "mg/m3", "61": "ppb",
}  # fmt: skip

#: SenML's unit → symbol.
SENML = {
    **{name: name for name in (
        "m", "A", "K", "Hz", "rad", "Pa", "J", "W", "V", "m3", "l", "m/s", "m3/s", "l/s", "W/m2", "dB", "dBW",
        "count", "%RH", "%EL", "VA", "var", "vars", "kW", "kVA", "kvar", "Wh", "kWh", "varh", "kvarh", "mV", "mA",
        "dBm", "ppm", "hPa", "mm", "cm", "km", "km/h", "g", "kg", "ug/m3", "mg/m3", "ppb")},
    "lux": "lx",
    "Cel": "degC", "/": "1", "/100": "%", "%": "%", "/1000": "‰", "deg": "deg",
}  # fmt: skip

#: A SenML sum is in its unit times a second: of these rates an amount is known.
SUM_OF_RATE = {
    "W": ("energy", 1 / 3.6e6),
    "kW": ("energy", 1 / 3600),
    "var": ("reactive_energy", 1 / 3.6e6),
    "kvar": ("reactive_energy", 1 / 3600),
    "m3/s": ("volume", 1.0),
    "l/s": ("volume", 0.001),
}

#: Quantities that are amounts: a value of them is a register or a part of one.
AMOUNTS = frozenset({"energy", "reactive_energy", "volume", "count"})


def _quantity(metric: Metric) -> str:
    return metric.unit if metric.quantity == "signal" else metric.quantity


#: The catalogue's own spellings.
_OWN = {"pct": "%", "state": "1"}
_METRICS = {
    name: (_quantity(metric), _CONVERSIONS[_OWN.get(metric.unit, metric.unit)][_quantity(metric)][0])
    for name, metric in metrics().items()
    if _quantity(metric) in _CONVERSIONS.get(_OWN.get(metric.unit, metric.unit), {})
}


def fits(metric: str, symbol: str) -> bool:
    """Whether a value in the unit `symbol` can be a value of `metric`."""
    return metric in _METRICS and _METRICS[metric][0] in _CONVERSIONS[symbol]


def convert(metric: str, symbol: str | None, value: float) -> float:
    """`value` in the unit `symbol` (None: the metric's own) in the metric's unit. The unit must fit."""
    if symbol is None:
        return value
    quantity, own = _METRICS[metric]
    factor, offset = _CONVERSIONS[symbol][quantity]
    return (value * factor + offset) / own


def amount(symbol: str) -> str | None:
    """The quantity of a unit that measures an amount (energy, volume, count), else None."""
    return next((quantity for quantity in _CONVERSIONS[symbol] if quantity in AMOUNTS and symbol != "1"), None)


#: Spellings of units by those who do not write codes.
_SPELLINGS = {"°C": "degC", "C": "degC", "Cel": "degC", "°F": "degF", "L": "l", "m³": "m3", "m³/h": "m3/h", "V AC": "V"}


def symbol_of(told: str) -> str | None:
    """The unit that a UN/CEFACT code or a usual spelling means; None if it is not known."""
    if len(told) > 20:
        return None
    told = told.strip()
    if told.upper() in CEFACT:
        return CEFACT[told.upper()]
    told = _SPELLINGS.get(told, told)
    return told if told in _CONVERSIONS else None
