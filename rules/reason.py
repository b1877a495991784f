"""A reason as a code with its facts, and as a sentence in either language. Pure.

The code and the facts are for programs (`--json`); the sentences stand in `_SENTENCES` below, one for each code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from rules.scope import Choice
from rules.text import Language
from rules.words import amount, choice_text, duration, local, metric_name, scope_word, severity_word


@dataclass(frozen=True)
class At:
    """A moment in microseconds."""

    us: int


@dataclass(frozen=True)
class For:
    """A length of time in seconds."""

    s: float


@dataclass(frozen=True)
class Amount:
    """A value in a unit of the catalogue (`/h` behind it: of a rate)."""

    value: float | None
    unit: str


@dataclass(frozen=True)
class Metrics:
    """Metrics by name or number."""

    names: Sequence[str | int]


@dataclass(frozen=True)
class Part:
    """A part of a scope by name."""

    name: str


@dataclass(frozen=True)
class Severe:
    """A severity."""

    name: str


@dataclass(frozen=True)
class Reason:
    """Why something is or is not: a code of `_SENTENCES` and what its sentence names; that may be other reasons."""

    code: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def text(self, language: Language, zone: ZoneInfo) -> str:
        """The sentence, with times local to `zone`."""
        fields = {key: _said(fact, language, zone) for key, fact in self.facts.items()}
        return _SENTENCES[self.code][language == "uk"].format_map(fields)

    def as_json(self) -> dict[str, Any]:
        """Code and facts as JSON values; times are microseconds since 1970, lengths seconds."""
        return {"code": self.code, **{key: _plain(fact) for key, fact in self.facts.items()}}


Fact = At | For | Amount | Metrics | Part | Severe | Choice | Reason | tuple[Reason, ...] | str | int


def codes() -> Sequence[str]:
    """All codes, for the documentation and its test."""
    return list(_SENTENCES)


def _said(fact: Fact, language: Language, zone: ZoneInfo) -> str:
    match fact:
        case At(us):
            return local(us, zone)
        case For(s):
            return duration(s, language)
        case Amount(value, unit):
            return amount(value, unit, language)
        case Metrics(names):
            return ", ".join(metric_name(name, language) for name in names)
        case Part(name):
            return scope_word(name, language)
        case Severe(name):
            return severity_word(name, language)
        case Choice():
            return choice_text(fact, language)
        case Reason():
            return fact.text(language, zone)
        case tuple():
            return "; ".join(reason.text(language, zone) for reason in fact)
    return str(fact)


def _plain(fact: Fact) -> Any:
    match fact:
        case At(us):
            return us
        case For(s):
            return s
        case Amount(value, unit):
            return {"value": value, "unit": unit}
        case Metrics(names):
            return [metric_name(name, "en") for name in names]
        case Part(name) | Severe(name):
            return name
        case Choice():
            return fact.model_dump(mode="json")
        case Reason():
            return fact.as_json()
        case tuple():
            return [reason.as_json() for reason in fact]
    return fact


_SENTENCES: Mapping[str, tuple[str, str]] = {
    # of one condition
    "beyond": ("{metric} {value}, beyond the limit of {limit}", "{metric} {value}, за межею {limit}"),
    "held": (
        "{metric} {value}: back from the limit of {limit}, not yet at {clear}, where it is cleared",
        "{metric} {value}: повернулося від межі {limit}, але ще не до {clear}, де сповіщення знімається",
    ),
    "within": (
        "{metric} was {value}, {short} short of the limit of {limit}",
        "{metric}: {value}, до межі {limit} бракувало {short}",
    ),
    "at_limit": (
        "{metric} was {value}, exactly the limit of {limit}, and must go beyond it",
        "{metric}: {value}, рівно межа {limit}, а має бути за нею",
    ),
    "never": ("no good reading of: {metric}", "немає придатних показів: {metric}"),
    "old": (
        "the last good reading of {metric} is from {at}, longer ago than {gap}",
        "останній придатний показ ({metric}) був {at}, давніше ніж {gap} тому",
    ),
    "jumped": (
        "{metric} changed by {moved} within {within}, at least {limit}",
        "{metric}: зміна на {moved} за {within}, щонайменше {limit}",
    ),
    "no_jump": (
        "{metric} changed by {moved} within {within}, {limit} are needed",
        "{metric}: зміна на {moved} за {within}, потрібно {limit}",
    ),
    "jump_alone": (
        "{metric}: only one good reading within {within}, so there is no change to judge",
        "{metric}: лише один придатний показ за {within}, зміни не оцінити",
    ),
    "stuck": (
        "{metric} has not moved from {value} since {since}",
        "{metric}: {value} без змін від {since}",
    ),
    "stuck_few": (
        "{metric}: {count} readings without change since {since}, {needed} are needed",
        "{metric}: {count} показів без змін від {since}, потрібно {needed}",
    ),
    "stuck_short": (
        "{metric} has stood at {value} for {held} since {since}; it takes {over}",
        "{metric}: {value} без змін {held} від {since}, потрібно {over}",
    ),
    "stuck_rests": (
        "{metric} rests at {value}, where rest is normal",
        "{metric}: {value}, за такого значення спокій звичайний",
    ),
    "night_high": (
        "the last whole night of {metric}: {value}, above {limit}",
        "остання повна ніч ({metric}): {value}, понад {limit}",
    ),
    "night_quiet": (
        "the last whole night of {metric}: {value}, the limit was {limit}",
        "остання повна ніч ({metric}): {value}, межа була {limit}",
    ),
    "night_row": (
        "{breached} of {needed} nights in a row were above the limit ({metric} {value}, limit {limit})",
        "{breached} з {needed} ночей поспіль понад межею ({metric} {value}, межа {limit})",
    ),
    "night_learns": (
        "{metric}: {quiet} whole nights so far; 3 are needed before one that is judged",
        "{metric}: поки що повних ночей: {quiet}; перед оцінкою потрібно 3",
    ),
    "night_none": (
        "{metric}: no whole night yet; {coverage} % of the window must lie between good readings, and the register must"
        " not fall",
        "{metric}: ще немає повної ночі; {coverage} % проміжку має лежати між придатними показами, показ не має падати",
    ),
    "all": ("every part holds", "виконано всі частини"),
    "not_all": ("a part does not hold", "одна з частин не виконується"),
    "any": ("a part holds", "одна з частин виконується"),
    "not_any": ("no part holds", "жодна частина не виконується"),
    "at_least": ("enough parts hold", "виконано достатньо частин"),
    "not_at_least": ("too few parts hold", "виконано замало частин"),
    "parts_unknown": ("a part is unknown", "про одну з частин нічого не відомо"),
    "negated": ("the opposite of its part", "протилежне до своєї частини"),
    "level": ("a level holds", "один із рівнів виконується"),
    "no_level": ("no level holds", "жоден рівень не виконується"),
    "held_back": ("held back, for {why}", "стримано, бо {why}"),
    "closed": ("{at} lies outside its hours", "{at} поза його годинами"),
    "holds": ("it holds ({value}, limit {limit})", "виконується ({value}, межа {limit})"),
    "does_not_hold": ("it does not hold ({value}, limit {limit})", "не виконується ({value}, межа {limit})"),
    "unknown": ("it is unknown", "невідомо"),
    # why an alert did not fire
    "scope": (
        "the rule does not watch this point: its {part} is {own}, the rule is for {wanted}",
        "правило не стежить за цією точкою: її {part}: {own}, а правило для: {wanted}",
    ),
    "of_level": ("{severity}: {why}", "{severity}: {why}"),
    "fires": (
        "it does fire: since {fired} (the condition held from {breached} on)",
        "сповіщення є: від {fired} (умова виконується від {breached})",
    ),
    "silent": (
        "it does fire: the device has been silent since {at}",
        "сповіщення є: пристрій мовчить від {at}",
    ),
    "fired_before": (
        "by the readings it fired from {fired} to {until}",
        "за показами сповіщення тривало від {fired} до {until}",
    ),
    "nearest": ("the nearest came at {at}: {why}", "найближче було {at}: {why}"),
    "no_metric": (
        "this point has never sent {metric}; it sends {others}",
        "ця точка ніколи не надсилала: {metric}; вона надсилає: {others}",
    ),
    "nothing": (
        "there is no reading of this point: {metric} is needed",
        "у цієї точки немає жодного показу; потрібно: {metric}",
    ),
    "late_start": (
        "the first reading of {metric} came at {first}, after the moment in question",
        "перший показ ({metric}) надійшов {first}, пізніше за цей час",
    ),
    "quality": (
        "{count} readings of {metric} since {since} are suspect or estimated, and what is not good is not judged;"
        " the newest says {value} at {at}",
        "показів ({metric}) від {since}: {count}, усі сумнівні або оцінені, тому не оцінюються; найновіший: {value},"
        " {at}",
    ),
    "stale": (
        "no reading of {metric} came after {at}; the last one was {value}, and silence is not judged as a value",
        "після {at} показів ({metric}) не було; останній: {value}; мовчання за значення не вважається",
    ),
    "outage": (
        "Misto itself could not receive from {down} to {up}; the last reading of {metric} is from {at} ({value})",
        "Misto не міг приймати дані від {down} до {up}; останній показ ({metric}) був {at} ({value})",
    ),
    "unknown_why": (
        "the condition was unknown, and what is unknown raises nothing: {why}",
        "умову не можна було оцінити, а невідоме не викликає сповіщень: {why}",
    ),
    "limit": ("the limit was not reached: {why}", "межі не досягнуто: {why}"),
    "parts": ("not all parts held at once: {why}", "не всі частини виконувалися водночас: {why}"),
    "pending": (
        "it held since {since}, {held} at {at}; {needed} are needed, so it can fire from {due} on",
        "умова виконувалася від {since}, {held} на {at}; потрібно {needed}, тож сповіщення можливе від {due}",
    ),
    "pending_later": (
        "at {at} it had held for {held} of {needed} since {since}; it fired later, at {fired}",
        "на {at} умова виконувалася {held} з {needed}, від {since}; сповіщення з'явилося пізніше, {fired}",
    ),
    "not_held": (
        "it did not hold long enough: from {since} until {until}, {held} of {needed}, then {why}",
        "умова виконувалася замало: від {since} до {until}, {held} з {needed}, потім {why}",
    ),
    "gap": (
        "the time began anew at {since}, for no reading came between {gap_from} and {gap_to}, longer than {gap}; it had"
        " held for {before} before that, and {needed} without a gap are needed",
        "відлік почався заново {since}: між {gap_from} і {gap_to} показів не було довше ніж {gap}; до того умова"
        " виконувалася {before}, а потрібно {needed} без перерви",
    ),
    "waits": (
        "it has held since {since}, for {held} and longer than the {needed} that are needed, but by one reading:"
        " a later one must confirm it",
        "умова виконується від {since}, {held}, довше за потрібні {needed}, але це один показ:"
        " має підтвердити наступний",
    ),
    "heard": (
        "the device is not silent: it was heard at {at}, {ago} before; {limit} of silence are needed",
        "пристрій не мовчить: останній раз його чути було {at}, за {ago}; потрібно {limit} мовчання",
    ),
    "deaf": (
        "the device has been silent since {at}, but for {missed} of that Misto itself could not receive; {limit} are"
        " needed without that time, and one interval more",
        "пристрій мовчить від {at}, але {missed} з цього часу Misto сам не міг приймати; потрібно {limit} без цього"
        " часу і ще один інтервал",
    ),
    "blind": (
        "the device has been silent since {at}, but ingest itself was last alive at {alive}: whether the device is"
        " silent is unknown",
        "пристрій мовчить від {at}, але приймання даних востаннє працювало {alive}: чи мовчить пристрій, невідомо",
    ),
    "never_heard": (
        "no device of this point was ever heard; the silence counts from when the rules began to listen",
        "жодного пристрою цієї точки ще не було чути; мовчання рахується від початку роботи правил",
    ),
    "not_told": (
        "by the readings stored now it should have fired at {fired} (it held from {breached} on), and no alert was"
        " written: {causes}",
        "за нинішніми показами сповіщення мало з'явитися {fired} (умова від {breached}), але його не записано:"
        " {causes}",
    ),
    # causes of `not_told`
    "cause_unknown": (
        "the reason cannot be told from what is kept; see the log of `misto rules run`",
        "причину зі збереженого встановити не можна; див. журнал `misto rules run`",
    ),
    "cause_not_in_force": ("the rule is not in force", "правило не чинне"),
    "cause_newer_rule": (
        "the rule as it is now came into force at {since}, and what it would have raised and resolved before is not"
        " told",
        "чинне правило діє від {since}, а що воно викликало б раніше, не повідомляється",
    ),
    "cause_no_worker": ("no rules process is alive", "процес правил не працює"),
    "cause_behind": ("the rules have not yet judged the newest readings", "правила ще не оцінили найновіші покази"),
    "cause_late": (
        "{count} readings came too late to be judged",
        "показів, що надійшли запізно для оцінки: {count}",
    ),
    "cause_history": (
        "readings came late or by import: what is older than {memory} when it comes is history and is not judged",
        "покази надійшли пізно або імпортом: старіше за {memory} на час надходження вважається історією",
    ),
}
