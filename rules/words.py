"""What a rule watches and asks for, in words of both languages: for the board's page and for explanations. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.metrics import metrics, metrics_by_id
from rules.calendars import Active
from rules.conditions import Node
from rules.conditions.absent import Absent
from rules.conditions.jump import Jump
from rules.conditions.night import Night
from rules.conditions.stuck import Stuck
from rules.conditions.threshold import Threshold
from rules.judge import Judge
from rules.model import Rule
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
_WEEK = (
    ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    ("пн", "вт", "ср", "чт", "пт", "сб", "нд"),
)
_EXCEPTED: Mapping[str, tuple[str, str]] = {
    "holidays": ("public holidays", "державні свята"),
    "school-holidays": ("school holidays", "шкільні канікули"),
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


def condition_text(node: Any, language: Language) -> str:
    """A condition, or a tree of them, as a clause."""
    uk = language == "uk"
    match node:
        case Rule():
            return rule_text(node, language)
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
    """All that a rule asks for, as one sentence: its conditions, for how long, when not, and how long it stays."""
    uk = language == "uk"
    levels = [_level_text(one, language) for one in rule.by_level]
    if rule.levels is not None:
        levels = [
            f"{severity_word(one.severity, language)}: {its}" for one, its in zip(rule.by_level, levels, strict=True)
        ]
    text = "; ".join(levels)
    if rule.unless is not None:
        text += ("; не тоді, коли " if uk else "; not while ") + condition_text(rule.unless, language)
    if rule.active is not None:
        text += "; " + _hours_text(rule.active, language)
    if rule.keep_firing_for:
        kept = duration(rule.keep_firing_for, language)
        text += f"; лишається ще {kept} після того" if uk else f"; stays for {kept} after that"
    return text[:1].upper() + text[1:] + "."


def severity_word(severity: str, language: Language) -> str:
    """A severity as people call it."""
    return _SEVERITIES[severity][language == "uk"]


def _level_text(rule: Rule, language: Language) -> str:
    uk = language == "uk"
    text = condition_text(rule.when, language)
    if rule.held_for:
        text += (", протягом " if uk else ", for ") + duration(rule.held_for, language)
        if isinstance(rule.judge, Judge) and rule.judge.by_clock:
            text += " (за годинником)" if uk else " (by the clock)"
    return text


def _hours_text(active: Active, language: Language) -> str:
    uk = language == "uk"
    windows = [
        f"{_days_text(window.days, language)} {_clock_text(window.begins)}–{_clock_text(window.ends)}".strip()
        for window in active.windows
    ]
    text = ("лише " if uk else "only ") + ", ".join(windows)
    if active.excepted:
        excepted = [_EXCEPTED[each][uk] for each in active.excepted]
        text += (", крім: " if uk else ", except ") + ", ".join(excepted)
    if active.outside == "resolve":
        text += " (далі сповіщення закривається)" if uk else " (it ends with these hours)"
    return text


def _days_text(days: Sequence[int], language: Language) -> str:
    """Days of the week, runs of three and more with a dash; nothing if it is all of them."""
    if len(days) == 7:
        return ""
    names = _WEEK[language == "uk"]
    parts: list[str] = []
    for day in days:
        if parts and day - 1 in days and day - 2 in days and day + 1 not in days:
            first = next(start for start in range(day, -1, -1) if start - 1 not in days)
            parts = [*parts[: len(parts) - (day - first)], f"{names[first]}–{names[day]}"]
        else:
            parts.append(names[day])
    return ", ".join(parts)


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
