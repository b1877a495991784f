"""Units as devices write them into their messages, in the spellings that the profiles' `unit` knows.

A closed table: a message's text never reaches the unit parser, which would work out expressions.
"""

from __future__ import annotations

#: Spelling (folded: no blanks, lower case) → unit for `ingest.units.converter`.
_FOLDED = {
    "wh": "Wh", "kwh": "kWh", "gwh": "GWh", "varh": "var * hour", "kvarh": "kvarh", "vah": "VA * hour",
    "kvah": "kVA * hour", "j": "J", "kj": "kJ", "gj": "GJ", "kcal": "kcal", "gcal": "Gcal",
    "w": "W", "kw": "kW", "var": "var", "kvar": "kilovar", "va": "VA", "kva": "kVA",
    "v": "V", "volt": "V", "volts": "V", "mv": "mV", "a": "A", "amp": "A", "ma": "mA", "hz": "Hz",
    "m3": "m3", "m³": "m3", "m^3": "m3", "l": "L", "litre": "L", "liter": "L", "litres": "L", "liters": "L", "dm3": "L",
    "m3/h": "m3/hour", "m³/h": "m3/hour", "m^3/h": "m3/hour", "l/h": "L/hour", "l/min": "L/minute", "l/s": "L/second",
    "m3/min": "m3/minute", "m3/s": "m3/second",
    "c": "degC", "cel": "degC", "degc": "degC", "°c": "degC", "celsius": "degC", "f": "degF", "°f": "degF",
    "degf": "degF", "k": "kelvin",
    "%": "pct", "pct": "pct", "percent": "pct", "%rh": "pct", "rh%": "pct", "%rf": "pct", "ppm": "ppm",
    "pa": "Pa", "hpa": "hPa", "kpa": "kPa", "mbar": "mbar", "bar": "bar",
    "mm": "mm", "cm": "cm", "m": "m", "deg": "deg", "°": "deg", "m/s": "m/s", "km/h": "km/hour",
    "lx": "lx", "lux": "lx", "ug/m3": "ug/m3", "µg/m3": "ug/m3", "µg/m³": "ug/m3", "μg/m3": "ug/m3", "μg/m³": "ug/m3",
    "ppb": "ppb", "kg": "kg", "g": "g", "inch": "inch", "ft": "foot",
    "w/m2": "W/m2", "w/m²": "W/m2", "db": "dB", "dbm": "dBm",
}  # fmt: skip

#: Where the case matters: MWh is a million times mWh.
_EXACT = {
    "MWh": "MWh", "mWh": "mWh", "MW": "MW", "mW": "mW", "MJ": "MJ", "mJ": "mJ", "Mvarh": "megavar * hour",
}  # fmt: skip


def sent_unit(text: object) -> str:
    """The unit that a message names. Raises ValueError for one that is not in the table."""
    if isinstance(text, str):
        stripped = "".join(text.split())
        unit = _EXACT.get(stripped) or _FOLDED.get(stripped.lower())
        if unit is not None:
            return unit
    raise ValueError(f"its unit {text!r:.40} is not known")
