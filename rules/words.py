"""What a rule watches and asks for, in words of both languages: for the board's page and for explanations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.metrics import metrics, metrics_by_id
from rules.conditions import Node
from rules.conditions.absent import Absent
from rules.conditions.jump import Jump
from rules.conditions.night import Night
from rules.conditions.stuck import Stuck
from rules.conditions.threshold import Threshold
from rules.model import Rule, Scope
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
    for name, wanted in scope.model_dump().items():
        if not wanted:
            continue
        if isinstance(wanted, dict):
            text = ", ".join(f"{key} = {value}" for key, value in wanted.items())
        elif isinstance(wanted, list):
            text = ", ".join(
                _KINDS_UK.get(str(each), str(each)) if uk and name == "kind" else str(each) for each in wanted
            )
        else:
            text = str(wanted)
        parts.append(text if name == "kind" else f"{_SCOPE.get(name, (name, name))[uk]}: {text}")
    return "; ".join(parts) or ("усі точки" if uk else "every point")


def scope_word(name: str, language: Language) -> str:
    """What a part of a scope is called."""
    return _SCOPE.get(name, (name, name))[language == "uk"]


def condition_text(node: Any, language: Language) -> str:
    """A condition, or a tree of them, as a clause."""
    uk = language == "uk"
    match node:
        case Node() if node.absent is not None:
            return condition_text(node.absent, language)
        case Node() if node.single is not None:
            return condition_text(node.single, language)
        case Node(negated=Node() as child):
            return ("не так, що " if uk else "not that ") + condition_text(child, language)
        case Node():
            word = (" і " if uk else " and ") if node.all else (" або " if uk else " or ")
            return word.join(
                f"({condition_text(child, language)})" if child.all or child.any else condition_text(child, language)
                for child in node.all or node.any or []
            )
        case Threshold():
            return _threshold(node, language)
        case Jump():
            unit = metrics()[node.metric].unit
            up = node.up_by is not None
            by = amount(node.up_by if up else node.down_by, unit, language)
            within = duration(node.within, language)
            name = metric_name(node.metric, language)
            if uk:
                return f"{name} {'зростає' if up else 'падає'} на {by} чи більше за {within}"
            return f"{name} {'rises' if up else 'falls'} by {by} or more within {within}"
        case Stuck():
            name, over = metric_name(node.metric, language), duration(node.over, language)
            if not node.tolerance:
                return f"{name} не змінюється протягом {over}" if uk else f"{name} does not change for {over}"
            by = amount(node.tolerance, metrics()[node.metric].unit, language)
            if uk:
                return f"{name} не змінюється більш як на {by} протягом {over}"
            return f"{name} does not change by more than {by} over {over}"
        case Night():
            return _night(node, language)
        case Absent():
            return _absent(node, language)
    return str(node)


def _threshold(its: Threshold, language: Language) -> str:
    uk = language == "uk"
    unit, name = metrics()[its.metric].unit, metric_name(its.metric, language)
    above = its.above is not None
    limit = amount(its.above if above else its.below, unit, language)
    clear = its.clear_below if above else its.clear_above
    if uk:
        text = f"{name} {'понад' if above else 'нижче за'} {limit}"
        back = f" (знімається {'нижче за' if above else 'понад'} {amount(clear, unit, language)})"
    else:
        text = f"{name} {'above' if above else 'below'} {limit}"
        back = f" (cleared {'below' if above else 'above'} {amount(clear, unit, language)})"
    return text + back if clear is not None else text


def _night(its: Night, language: Language) -> str:
    uk = language == "uk"
    unit, name = f"{metrics()[its.metric].unit}/h", metric_name(its.metric, language)
    window = f"{its.window[0]:%H:%M}–{its.window[1]:%H:%M}"
    above = amount(its.above, unit, language)
    least = its.stat == "min_hourly_rate"
    if uk:
        text = f"{name}: {'найменша годинна' if least else 'середня'} витрата {window} понад {above}"
        if its.ratio_above is not None:
            text += f" і понад {number(its.ratio_above, language)} медіани останніх {its.nights} тихих ночей"
        return text + (f", {its.raise_after} ночі поспіль" if its.raise_after > 1 else "")
    text = f"{name}: {'least hourly' if least else 'mean'} rate {window} above {above}"
    if its.ratio_above is not None:
        text += f" and above {number(its.ratio_above, language)} times the median of the last {its.nights} quiet nights"
    return text + (f", {its.raise_after} nights in a row" if its.raise_after > 1 else "")


def _absent(its: Absent, language: Language) -> str:
    uk = language == "uk"
    if its.after is not None:
        return ("нічого не отримано протягом " if uk else "nothing received for ") + duration(its.after, language)
    misses = number(its.misses, language)
    least = duration(its.at_least, language) if its.at_least >= 60 else ""
    if uk:
        return f"пропущено {misses} звіти поспіль" + (f", щонайменше {least}" if least else "")
    return f"nothing received for {misses} intervals" + (f", at least {least}" if least else "")


def rule_text(rule: Rule, language: Language) -> str:
    """All that a rule asks for, as one sentence: its condition, for how long, and how long it stays."""
    uk = language == "uk"
    text = condition_text(rule.when, language)
    if rule.held_for:
        text += (", протягом " if uk else ", for ") + duration(rule.held_for, language)
        if rule.by_clock:
            text += " (за годинником)" if uk else " (by the clock)"
    if rule.keep_firing_for:
        kept = duration(rule.keep_firing_for, language)
        text += f"; лишається ще {kept} після того" if uk else f"; stays for {kept} after that"
    return text[:1].upper() + text[1:] + "."
