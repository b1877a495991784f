"""Text from outside, as PostgreSQL can hold it."""

from __future__ import annotations


def storable(text: str, longest: int | None = None) -> str:
    """The text without zero characters and lone surrogates, which JSON can spell and the database refuses.

    What is longer than `longest` characters ends with an ellipsis.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two bytes a surrogate, each of which is no UTF-16 alone.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
