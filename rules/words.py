"""What a rule watches and asks for, in words of both languages: for the board's page and for explanations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from catalogue.metrics import metrics, metrics_by_id
from rules.scope import Choice, Scope
from rules.text import Language, number

_UNITS: Mapping[str, tuple[str, str]] = {
    "pct": ("%", "%"),
    "degC": ("°C", "°C"),
    "m3": ("m³", "м³"),
    "m3/h": ("m³/h", "м³/год"),
    "kWh": ("kWh", "кВт·год"),
    "kvarh": ("kvarh", "квар·год"),
    "W": ("W", "Вт"),
    "var": ("var", "вар"),
    "VA": ("VA", "ВА"),
    "Hz": ("Hz", "Гц"),
    "V": ("V", "В"),
    "A": ("A", "А"),
    "bar": ("bar", "бар"),
    "mm": ("mm", "мм"),
    "kg": ("kg", "кг"),
    "dBm": ("dBm", "дБм"),
    "dB": ("dB", "дБ"),
    "hPa": ("hPa", "гПа"),
    "m/s": ("m/s", "м/с"),
    "W/m2": ("W/m²", "Вт/м²"),
    "lx": ("lx", "лк"),
    "deg": ("°", "°"),
    "h": ("h", "год"),
    "1": ("", ""),
    "state": ("", ""),
}
_PER_HOUR: Mapping[str, tuple[str, str]] = {"kWh": ("kW", "кВт"), "m3": ("m³/h", "м³/год")}
_DURATIONS = ((86400, "day", "days", "дн", "дн"), (3600, "h", "h", "год", "год"), (60, "min", "min", "хв", "хв"))
_KINDS_UK = {
    "electricity": "електроенергія",
    "heat": "тепло",
    "gas": "газ",
    "water": "вода",
    "bin": "контейнери",
    "weather": "погода",
    "indoor": "приміщення",
}
_SEVERITIES: Mapping[str, tuple[str, str]] = {
    "info": ("info", "до відома"),
    "warning": ("warning", "увага"),
    "critical": ("critical", "критично"),
}
_LABEL = ("label", "мітка")
_SCOPE: Mapping[str, tuple[str, str]] = {
    "kind": ("kind of point", "вид точки"),
    "fraction": ("fraction", "фракція"),
    "use": ("use of the building", "призначення будівлі"),
    "site": ("site", "об'єкт"),
    "zone": ("zone", "район"),
    "contractor": ("contractor", "підрядник"),
    "labels": ("labels", "мітки"),
}


def metric_name(name: str | int, language: Language) -> str:
    """A metric (name or number) as people call it."""
    metric = metrics()[name] if isinstance(name, str) else metrics_by_id()[name]
    word = metric.uk if language == "uk" else metric.en
    return word[:1].lower() + word[1:] if word[1:2].islower() else word


def amount(value: float | None, unit: str, language: Language) -> str:
    """A number with its unit; `unit` is the catalogue's, with `/h` behind it for a rate of a counter."""
    counter = unit.removesuffix("/h")
    if unit not in _UNITS and counter in _PER_HOUR:
        signs = _PER_HOUR[counter]
    else:
        signs = _UNITS.get(unit, (unit, unit))
    return f"{number(value, language)} {signs[language == 'uk']}".rstrip()


def duration(seconds: float, language: Language) -> str:
    """A length of time in its largest units: `15 h`, `1 h 30 min`."""
    rest, parts = round(seconds), []
    for size, one, many, one_uk, many_uk in _DURATIONS:
        count, rest = divmod(rest, size)
        if count:
            word = (one_uk if count == 1 else many_uk) if language == "uk" else (one if count == 1 else many)
            parts.append(f"{count} {word}")
    if rest and not parts:
        parts.append(f"{rest} {'с' if language == 'uk' else 's'}")
    return " ".join(parts[:2]) or ("0 хв" if language == "uk" else "0 min")


def local(us: int, zone: ZoneInfo) -> str:
    """A moment in microseconds as local time to the minute."""
    return datetime.fromtimestamp(us / 1e6, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def scope_text(scope: Scope, language: Language) -> str:
    """Which points a rule watches."""
    uk = language == "uk"
    parts = []
    for name in ("kind", "fraction", "use", "site", "zone", "contractor"):
        wanted: Choice = getattr(scope, name)
        if wanted:
            text = choice_text(wanted, language, _KINDS_UK if uk and name == "kind" else {})
            parts.append(text if name == "kind" and wanted.only else f"{scope_word(name, language)}: {text}")
    parts += [
        f"{scope_word('labels', language)}: {key} = {choice_text(its, language)}" for key, its in scope.labels.items()
    ]
    return "; ".join(parts) or ("усі точки" if uk else "every point")


def scope_word(name: str, language: Language) -> str:
    """What a part of a scope is called; of a label, its name too."""
    part, _, label = name.partition(".")
    word = _SCOPE.get(part, (part, part))[language == "uk"]
    return f"{_LABEL[language == 'uk']} {label}" if label else word


def choice_text(choice: Choice, language: Language, words: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a scope asks for in one of its parts; `words`: those that are written otherwise."""
    uk = language == "uk"
    if choice.absent:
        return "немає" if uk else "none"
    if choice.present:
        return "будь-яке" if uk else "any"
    excepted = [f"{'не' if uk else 'not'} {words.get(each, each)}" for each in choice.excluded]
    return ", ".join([*(words.get(each, each) for each in choice.only), *excepted])


def severity_word(severity: str, language: Language) -> str:
    """A severity as people call it."""
    return _SEVERITIES[severity][language == "uk"]
