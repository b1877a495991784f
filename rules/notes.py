"""What rules come to in a city: notes for who writes them, and no mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from catalogue.inventory import Inventory
from catalogue.yamlfile import near
from rules.engine import in_scope
from rules.model import Rule
from rules.scope import Choice
from store.alerts import PointInfo

#: A rule that watches more points than this is noted.
MANY_POINTS = 1000


def notes(rules: Sequence[Rule], points: Sequence[PointInfo]) -> list[str]:
    """A sentence for each rule that watches no point or very many, asks for words that the city does not have, or
    wants numbers from labels that do not say one."""
    told = []
    for rule in rules:
        told += [f"rule {rule.id}: {text}" for text in _unknown_words(rule, points)]
        watched = [point for point in points if in_scope(rule.scope, point)]
        if not watched:
            told.append(f"rule {rule.id}: its scope fits none of the {len(points)} points")
        elif len(watched) > MANY_POINTS:
            told.append(f"rule {rule.id}: its scope fits {len(watched)} points; is that meant?")
        for point in watched:
            _, wrong = rule.at(point.labels)
            if wrong:
                told.append(f"rule {rule.id} at the point {point.code}: {wrong}")
        for label in sorted(rule.labels_wanted):
            if watched and not any(label in point.labels for point in watched):
                told.append(f"rule {rule.id}: none of its points has the label {label}{_near_label(label, points)}")
    return told


def _unknown_words(rule: Rule, points: Sequence[PointInfo]) -> list[str]:
    """Sites, zones, contractors and labels of the scope that no point has."""
    scope = rule.scope
    there: dict[str, set[str | None]] = {
        "site": {point.site_id for point in points},
        "zone": {point.zone_id for point in points},
        "contractor": {point.contractor_id for point in points},
    }
    told = []
    asked: tuple[tuple[str, Choice], ...] = (
        ("site", scope.site),
        ("zone", scope.zone),
        ("contractor", scope.contractor),
    )
    for what, choice in asked:
        known = {each for each in there[what] if each is not None}
        told += [
            f"no point has the {what} {word!r}{near(word, known)}"
            for word in (*choice.only, *choice.excluded)
            if word not in known
        ]
    for label, choice in scope.labels.items():
        values = {point.labels[label] for point in points if label in point.labels}
        if not values:
            told.append(f"no point has the label {label}{_near_label(label, points)}")
            continue
        told += [
            f"no point has {word!r} as its label {label}{near(word, values)}"
            for word in (*choice.only, *choice.excluded)
            if word not in values
        ]
    return told


def _near_label(label: str, points: Sequence[PointInfo]) -> str:
    return near(label, {name for point in points for name in point.labels})


def points_of(inventory: Inventory) -> list[PointInfo]:
    """The points of an inventory as the rules see them, before they have numbers."""
    contractors = {contractor.id: contractor.name for contractor in inventory.contractors}
    told = []
    for site in inventory.sites:
        for point in site.points:
            name = point.name or site.name
            contractor = contractors.get(point.contractor) if point.contractor is not None else None
            told.append(
                PointInfo(
                    point_id=0,
                    code=point.id,
                    kind=point.kind,
                    interval_s=point.interval,
                    fraction=point.fraction,
                    labels={**site.labels, **point.labels},
                    name_en=name.en,
                    name_uk=name.uk,
                    site_id=site.id,
                    site_name_en=site.name.en,
                    site_name_uk=site.name.uk,
                    address_en=site.address.en if site.address else None,
                    address_uk=site.address.uk if site.address else None,
                    use=site.use,
                    zone_id=site.zone,
                    contractor_id=point.contractor,
                    contractor_name_en=contractor.en if contractor else None,
                    contractor_name_uk=contractor.uk if contractor else None,
                )
            )
    return told
