"""Payloads for people: secrets hidden, what cannot be printed as hexadecimal digits. What is stored stays as it is.

Keys and passwords are known by their names, in JSON (also cut off, broken, or inside of a JSON string) and in texts
such as `password=…`. What has no such name is not known for a secret.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MASK = "***"

#: Names, in small letters and digits alone.
_WHOLE = frozenset({"pass", "pwd", "psk", "pin", "auth", "wifi", "wlan", "key", "keys"})
_PART = (
    "password", "passwd", "passphrase", "secret", "token", "credential", "authorization", "authorisation", "cookie",
    "ssid", "appkey", "apikey", "privatekey", "пароль", "секрет", "токен",
)  # fmt: skip
_END = ("key", "keys", "pwd", "psk", "pass", "auth")

#: `{"name": "appKey", "value": "…"}`: the name is a value.
_NAMING = frozenset({"name", "n", "id", "key", "field", "parameter", "param"})
_VALUED = frozenset({"value", "v", "vs", "val", "data"})

# All bounded: a payload may be built so that a search without bounds would not end.
_PAIR = re.compile(r"""(\\{0,15})(["'])([^"'\\\n]{1,64})\1\2\s{0,8}:\s{0,8}""")
_OPENING = re.compile(r"""(\\{0,15})(["'])""")
_SCALAR = re.compile(r"""[^,}\]\s"']*""")
_BRACKETS = re.compile(r"""["'{}\[\]]""")
_ASSIGNED = re.compile(
    r"""(?<![\w.-])([^\W\d][\w.-]{0,63})(\s{0,4}[=:]\s{0,4})((?:Bearer |Basic )?[^\s&;,"'{}\[\]<>]{1,4096})"""
)
_IN_ADDRESS = re.compile(r"(://[^/\s:@]{0,64}:)[^@\s/]{1,256}(?=@)")
_WEB_TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]{5,4096}\.[\w-]{5,4096}\.[\w-]{0,4096}")

_BYTES_A_LINE = 32


@dataclass(frozen=True, slots=True)
class Shown:
    """A payload as it may be shown: `text` is its own text, or hexadecimal digits if not `is_text`."""

    text: str
    is_text: bool
    is_redacted: bool


def shown(payload: bytes, *, cut: bool = False) -> Shown:
    """The payload for a person; `cut`: it is only the beginning of one."""
    hidden = redacted(payload)
    text = _text(hidden, cut=cut)
    if text is not None:
        return Shown(text, True, hidden != payload)
    lines = [hidden[at : at + _BYTES_A_LINE].hex(" ") for at in range(0, len(hidden), _BYTES_A_LINE)]
    return Shown("\n".join(lines), False, hidden != payload)


#: FIWARE's IoT Agents have the devices' key in the topic.
_KEY_IN_TOPIC = re.compile(
    r"^(/?(?:iot/)?(?:json|ul|ul20)/)[^/]{1,256}(?=/[^/]+/(?:attrs|cmd|cmdexe|configuration)(?:/|$))"
    r"|^(/)(?!(?:json|ul|ul20|iot)/)[^/]{1,256}(?=/[^/]+/(?:attrs|cmd|cmdexe|configuration)(?:/|$))"
)


def hidden_topic(topic: str) -> str:
    """A topic for a person: without the key that some formats have in it."""
    return _KEY_IN_TOPIC.sub(lambda found: f"{found[1] or found[2]}{MASK}", topic)


def redacted(payload: bytes) -> bytes:
    """The payload with its secrets replaced by `MASK`. Takes time in proportion to its length."""
    for encoding in ("utf-8", "latin-1"):  # of bytes that are no text, each is a character
        try:
            text = payload.decode(encoding)
        except UnicodeDecodeError:
            continue
        return hide(text).encode(encoding)
    raise AssertionError("latin-1 reads everything")


def hide(text: str) -> str:
    """The text with its secrets replaced by `MASK`."""
    text = _hide_pairs(text)
    text = _ASSIGNED.sub(lambda match: match[1] + match[2] + MASK if _is_secret(match[1]) else match[0], text)
    text = _IN_ADDRESS.sub(rf"\1{MASK}", text)
    return _WEB_TOKEN.sub(MASK, text)


def _hide_pairs(text: str) -> str:
    kept: list[str] = []
    done = at = 0
    named = False  # the last name that was a value is that of a secret
    while (match := _PAIR.search(text, at)) is not None:
        key, begin = _plain(match[3]), match.end()
        opening = _OPENING.match(text, begin)
        content = _short_string(text, opening) if opening is not None else ""
        if key in _NAMING and content and _is_secret(content):
            named, at = True, begin + len(content)
            continue
        if not (_is_secret(match[3]) or (named and key in _VALUED)):
            named, at = named and key not in _NAMING, begin
            continue
        named = False
        end = _end_of_value(text, begin, opening)
        old = text[begin:end]
        if opening is not None:
            mark = opening[0]
            new = mark + MASK + (mark if old.endswith(mark) and len(old) >= 2 * len(mark) else "")
        else:
            new = old if old in ("", "null") else MASK
        kept += [text[done:begin], new]
        done = at = max(end, begin)
    kept.append(text[done:])
    return "".join(kept)


def _end_of_value(text: str, begin: int, opening: re.Match[str] | None) -> int:
    if opening is not None:
        return _end_of_string(text, opening.end(), len(opening[1]), opening[2])
    if text[begin : begin + 1] not in ("{", "["):
        scalar = _SCALAR.match(text, begin)
        return scalar.end() if scalar is not None else begin
    depth, at = 0, begin
    while (match := _BRACKETS.search(text, at)) is not None:
        at = match.end()
        if match[0] in "\"'":
            at = _end_of_string(text, at, _backslashes(text, match.start(), begin), match[0])
        else:
            depth += 1 if match[0] in "{[" else -1
            if depth == 0:
                return at
    return len(text)


def _end_of_string(text: str, begin: int, backslashes: int, quote: str) -> int:
    """Behind the quote that ends a string whose opening quote stands behind so many backslashes."""
    at = begin
    while (found := text.find(quote, at)) >= 0:
        before = _backslashes(text, found, at)
        at = found + 1
        if (before % 2 == 0) if backslashes == 0 else before <= backslashes:
            return at
    return len(text)


def _backslashes(text: str, at: int, least: int) -> int:
    start = at
    while start > least and text[start - 1] == "\\":
        start -= 1
    return at - start


def _short_string(text: str, opening: re.Match[str]) -> str:
    end = text.find(opening[2], opening.end(), opening.end() + 65)
    return text[opening.end() : end].rstrip("\\") if end >= 0 else ""


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _is_secret(name: str) -> bool:
    plain = _plain(name)
    return plain in _WHOLE or plain.endswith(_END) or any(part in plain for part in _PART)


def _text(payload: bytes, *, cut: bool) -> str | None:
    """The payload as text if all of it can be printed."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        # A character cut in two at the end is no sign of a binary payload.
        if not cut or error.start < len(payload) - 3:
            return None
        text = payload[: error.start].decode()
    good = all(char.isprintable() or char in "\n\r\t" or unicodedata.category(char) == "Zs" for char in text)
    return text if good else None
