"""Titles, sentences and advice for people, in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from rules.judge import Transition
from rules.model import Rule, Texts

Language = Literal["en", "uk"]

_FRACTIONS: dict[str, dict[Language, str]] = {
    "mixed": {"en": "mixed waste", "uk": "змішані відходи"},
    "paper": {"en": "paper", "uk": "папір"},
    "plastic": {"en": "plastic", "uk": "пластик"},
    "glass": {"en": "glass", "uk": "скло"},
    "bio": {"en": "bio-waste", "uk": "біовідходи"},
}


@dataclass(frozen=True)
class Place:
    """What a sentence may say of a point, in one language."""

    point: str
    site: str
    address: str
    fraction: str | None
    contractor: str


@dataclass(frozen=True)
class Told:
    """The texts of an alert in one language."""

    title: str
    sentence: str
    advice: str


def tell(rule: Rule, language: Language, place: Place, transition: Transition, zone: ZoneInfo) -> Told:
    """The texts of an alert as they are when it fires, or when its severity has changed."""
    level = rule.steps[transition.level]
    since = datetime.fromtimestamp(transition.breached_us / 1e6, UTC).astimezone(zone)
    lasted_h = (transition.event_us - transition.breached_us) / 3.6e9
    fields = {
        "point": place.point,
        "site": place.site,
        "address": place.address or place.site,
        "fraction": _FRACTIONS[place.fraction][language] if place.fraction in _FRACTIONS else "",
        "contractor": place.contractor,
        "value": number(transition.value, language),
        "limit": number(transition.limit, language),
        "since": since.strftime("%d.%m %H:%M" if language == "uk" else "%d %b %H:%M"),
        "hours": number(round(lasted_h, 1), language),
    }

    def rendered(texts: Texts) -> str:
        return (texts.uk if language == "uk" else texts.en).format_map(fields)

    return Told(
        rendered(level.title or rule.title),
        rendered(level.sentence or rule.sentence),
        rendered(level.advice or rule.advice),
    )


def number(value: float | None, language: Language) -> str:
    """A number with three significant figures, as people write it."""
    if value is None:
        return "?"
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(".", ",") if language == "uk" else text
