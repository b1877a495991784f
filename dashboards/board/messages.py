"""The board's texts in English and Ukrainian, from `messages.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast, get_args

from babel import Locale

from catalogue.yamlfile import parse_yaml

Language = Literal["en", "uk"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

Forms = str | Mapping[str, str]


@cache
def messages() -> Mapping[str, Mapping[str, Forms]]:
    """Key → language → text, or its plural forms."""
    text = files("dashboards.board").joinpath("messages.yaml").read_text(encoding="utf-8")
    return cast(Mapping[str, Mapping[str, Forms]], parse_yaml(text, "dashboards/board/messages.yaml").data)


@cache
def locale_of(language: Language) -> Locale:
    """Babel's rules for a language. English numbers and dates are written as in Britain: day before month."""
    return Locale.parse("en_GB" if language == "en" else "uk_UA")


def message(language: Language, key: str, **values: Any) -> str:
    """The text `key` with `values` put in; its plural form goes by `n`. KeyError for a key that does not exist."""
    entry = messages()[key][language]
    if not isinstance(entry, str):
        entry = entry[locale_of(language).plural_form(values["n"])]
    return entry.format(**values) if values else entry


def has_message(key: str) -> bool:
    """True if there is such a text."""
    return key in messages()


def choose_language(asked: str | None, cookie: str | None, accept: str, default: Language) -> Language:
    """The reader's language: what was asked for, else the cookie, else the browser's best, else the default."""
    for wanted in (asked, cookie):
        if wanted in LANGUAGES:
            return wanted
    best: tuple[float, Language | None] = (0.0, None)
    for part in accept.split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().split("-")[0]
        if language in LANGUAGES:
            quality = _quality(parameter)
            if quality > best[0]:
                best = (quality, language)
    return best[1] or default


def _quality(parameter: str) -> float:
    """The q of an Accept-Language entry (RFC 9110, 12.4.2); 0 for nonsense."""
    name, _, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip() == "q" else 0.0
    except ValueError:
        return 0.0
