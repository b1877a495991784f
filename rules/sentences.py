"""What a rule asks for, as a sentence in both languages. Pure.

A kind of condition that has no sentence here is told by its name and its keys as in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from catalogue.metrics import metrics
from rules.calendars import Active
from rules.conditions import Condition, Node
from rules.conditions.absent import Absent
from rules.conditions.continuous_flow import ContinuousFlow
from rules.conditions.counter_reset import CounterReset
from rules.conditions.flag import Flag
from rules.conditions.forecast import Forecast
from rules.conditions.jump import Jump
from rules.conditions.limits import Limited
from rules.conditions.night import Night
from rules.conditions.rate import Rate
from rules.conditions.setback import Setback
from rules.conditions.stuck import Stuck
from rules.conditions.threshold import Threshold
from rules.judge import Judge
from rules.model import Rule
from rules.text import Language, number
from rules.words import amount, duration, metric_name, severity_word

_WEEK = (
    ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    ("пн", "вт", "ср", "чт", "пт", "сб", "нд"),
)
_EXCEPTED: Mapping[str, tuple[str, str]] = {
    "holidays": ("public holidays", "державні свята"),
    "school-holidays": ("school holidays", "шкільні канікули"),
}


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
            parts = [
                f"({condition_text(child, language)})" if child.parts else condition_text(child, language)
                for child in node.parts
            ]
            if node.at_least is not None:
                count = node.at_least.n
                return (f"щонайменше {count} з: " if uk else f"at least {count} of: ") + "; ".join(parts)
            return (" і " if uk else " and ").join(parts) if node.all else (" або " if uk else " or ").join(parts)
        case Absent():
            return _absent(node, language)
        case Condition():
            its = _KINDS.get(type(node))
            return its(node, language) if its is not None else _as_written(node, language)
    return str(node)


def _as_written(its: Condition, language: Language) -> str:
    keys = its.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"metric"})
    written = ", ".join(f"{key} {value}" for key, value in keys.items())
    text = f"{type(its).__module__.rpartition('.')[2]}: {metric_name(its.metric, language)}"
    return f"{text} ({written})" if written else text


def _jump(its: Jump, language: Language) -> str:
    up = its.up_by is not None
    by = amount(its.up_by if up else its.down_by, metrics()[its.metric].unit, language)
    within, name = duration(its.within, language), metric_name(its.metric, language)
    if language == "uk":
        return f"{name} {'зростає' if up else 'падає'} на {by} чи більше за {within}"
    return f"{name} {'rises' if up else 'falls'} by {by} or more within {within}"


def _stuck(its: Stuck, language: Language) -> str:
    uk = language == "uk"
    name, over = metric_name(its.metric, language), duration(its.over, language)
    if its.tolerance:
        by = amount(its.tolerance, metrics()[its.metric].unit, language)
        text = (
            f"{name} не змінюється більш як на {by} протягом {over}"
            if uk
            else f"{name} does not change by more than {by} over {over}"
        )
    else:
        text = f"{name} не змінюється протягом {over}" if uk else f"{name} does not change for {over}"
    if its.expected is not None:
        text += (", поки " if uk else " while ") + _threshold(its.expected, language)
    return text


def _rate(its: Rate, language: Language) -> str:
    uk = language == "uk"
    over, per = duration(its.over, language), duration(its.per, language)
    name = metric_name(its.metric, language)
    text = f"зміна за {per} ({name}, протягом {over})" if uk else f"{name} changes, over {over}, by"
    limit = _limit(its, language)
    return f"{text} {limit}" if uk else f"{text} {limit} in {per}"


def _forecast(its: Forecast, language: Language) -> str:
    reaches = amount(its.reaches, metrics()[its.metric].unit, language)
    within, name = duration(its.within, language), metric_name(its.metric, language)
    if language == "uk":
        return f"{name} за прогнозом досягне {reaches} протягом {within}"
    return f"{name} is forecast to reach {reaches} within {within}"


def _continuous_flow(its: ContinuousFlow, language: Language) -> str:
    least = amount(its.min_volume, metrics()[its.metric].unit, language)
    bucket, span = duration(its.bucket, language), duration(its.bucket * its.buckets, language)
    name = metric_name(its.metric, language)
    if language == "uk":
        return f"{name}: понад {least} кожні {bucket} протягом {span}"
    return f"{name}: more than {least} in every {bucket} of {span}"


def _counter_reset(its: CounterReset, language: Language) -> str:
    by = amount(its.tolerance, metrics()[its.metric].unit, language)
    name = metric_name(its.metric, language)
    if language == "uk":
        return f"{name} падає більш як на {by}, і це не перехід через нуль"
    return f"{name} falls by more than {by}, and it has not rolled over"


def _flag(its: Flag, language: Language) -> str:
    uk, name = language == "uk", metric_name(its.metric, language)
    if its.codes is not None:
        return f"{name}: {(' або ' if uk else ' or ').join(map(str, its.codes))}"
    bits = ", ".join(map(str, its.bits or []))
    return f"{name}: установлено біт {bits}" if uk else f"{name}: bit {bits} is set"


def _setback(its: Setback, language: Language) -> str:
    uk = language == "uk"
    window = f"{its.window[0]:%H:%M}–{its.window[1]:%H:%M}"
    share, times = number(its.share_above * 100, language), number(its.usual_times, language)
    name = metric_name(its.metric, language)
    if uk:
        text = f"{name}: витрата {window} понад {share} % найбільшої денної"
        text += f" і понад {times} звичайної частки" if its.usual_times > 1 else ""
        return text + (f", {its.raise_after} ночі поспіль" if its.raise_after > 1 else "")
    text = f"{name}: rate {window} above {share} % of the highest by day"
    text += f" and above {times} times its usual share" if its.usual_times > 1 else ""
    return text + (f", {its.raise_after} nights in a row" if its.raise_after > 1 else "")


def _limit(its: Limited, language: Language) -> str:
    uk = language == "uk"
    unit = metrics()[its.metric].unit
    above = its.above is not None
    clear = its.clear_below if above else its.clear_above
    if uk:
        text = f"{'понад' if above else 'нижче за'} {amount(its.limit, unit, language)}"
        back = f" (знімається {'нижче за' if above else 'понад'} {amount(clear, unit, language)})"
    else:
        text = f"{'above' if above else 'below'} {amount(its.limit, unit, language)}"
        back = f" (cleared {'below' if above else 'above'} {amount(clear, unit, language)})"
    return text + back if clear is not None else text


def _threshold(its: Threshold, language: Language) -> str:
    return f"{metric_name(its.metric, language)} {_limit(its, language)}"


def _night(its: Night, language: Language) -> str:
    uk = language == "uk"
    unit, name = f"{metrics()[its.metric].unit}/h", metric_name(its.metric, language)
    window = f"{its.window[0]:%H:%M}–{its.window[1]:%H:%M}"
    above = amount(its.above, unit, language)
    least = its.stat == "min_hourly_rate"
    if uk:
        text = f"{name}: {'найменша годинна' if least else 'середня'} витрата {window} понад {above}"
        if its.ratio_above is not None:
            quiet = f"{its.nights} тихих ночей" + (" такого самого дня" if its.same_daytype else "")
            text += f" і понад {number(its.ratio_above, language)} медіани останніх {quiet}"
        return text + (f", {its.raise_after} ночі поспіль" if its.raise_after > 1 else "")
    text = f"{name}: {'least hourly' if least else 'mean'} rate {window} above {above}"
    if its.ratio_above is not None:
        quiet = f"{its.nights} quiet nights" + (" of the same sort of day" if its.same_daytype else "")
        text += f" and above {number(its.ratio_above, language)} times the median of the last {quiet}"
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


_KINDS: Mapping[type[Condition], Callable[[Any, Language], str]] = {
    Threshold: _threshold,
    Jump: _jump,
    Stuck: _stuck,
    Night: _night,
    Rate: _rate,
    Forecast: _forecast,
    ContinuousFlow: _continuous_flow,
    CounterReset: _counter_reset,
    Flag: _flag,
    Setback: _setback,
}
