"""What was decided, as the row that is kept of it, with its texts."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rules.engine import Decided
from rules.text import Place, tell
from store.alerts import Change, PointInfo


def change_of(one: Decided, zone: ZoneInfo) -> Change:
    """The transition to be written; times in its texts are local to `zone`."""
    texts: dict[str, str] = {}
    for language in ("en", "uk"):
        told = tell(one.rule, language, place_of(one.point, language), one.transition, zone)
        texts |= {
            f"title_{language}": told.title,
            f"sentence_{language}": told.sentence,
            f"advice_{language}": told.advice,
        }
    transition = one.transition
    level = one.rule.steps[transition.level]
    when = level.when.model_dump(mode="json", by_alias=True, exclude_none=True)
    evidence = {"value": transition.value, "limit": transition.limit, "when": when}
    return Change(
        kind=transition.kind,
        rule_id=one.rule.id,
        rule_hash=one.rule.hash,
        point_id=one.point.point_id,
        severity=level.severity,
        breached_at=datetime.fromtimestamp(transition.breached_us / 1e6, UTC),
        event_at=datetime.fromtimestamp(transition.event_us / 1e6, UTC),
        reason=transition.reason,
        value=transition.value,
        texts=texts,
        evidence=evidence,
        reopen_within_s=-1.0 if one.rule.reopen_within is None else one.rule.reopen_within,
    )


def place_of(point: PointInfo, language: str) -> Place:
    """A point as a sentence in this language names it."""
    uk = language == "uk"
    return Place(
        point=point.name_uk if uk else point.name_en,
        site=point.site_name_uk if uk else point.site_name_en,
        address=(point.address_uk if uk else point.address_en) or "",
        fraction=point.fraction,
        contractor=(point.contractor_name_uk if uk else point.contractor_name_en) or "",
    )
