"""The inventory that a mapping describes: each device of the file gets a point."""

from __future__ import annotations

import re
from collections.abc import Mapping as Names
from typing import Any

from simulators.errors import SimulatorError
from simulators.replay.mapping import InventoryTemplate, Mapping, fill


def inventory_of(mapping: Mapping, devices: list[dict[str, str]]) -> dict[str, Any]:
    """An inventory as plain data; `devices` are `Converter.first_rows`.

    Raises `SimulatorError` if the mapping has no `inventory`, or if two devices would have the same point.
    """
    template = mapping.spec.inventory
    if template is None:
        raise SimulatorError(f"{mapping.document.name} has no key inventory, so no inventory can be written from it")
    if not devices:
        raise SimulatorError("the file has no device, so there is no inventory to write")
    sites: dict[str, dict[str, Any]] = {}
    points: dict[str, str] = {}
    for known in devices:
        site_id = _id(fill(template.site.id, dict(known)))
        site = sites.setdefault(site_id, _site(template, site_id, known))
        address = known["address"]
        point_id = _id(address)
        if point_id in points:
            raise SimulatorError(
                f"the devices {points[point_id]!r} and {address!r} would both be the point {point_id!r}; "
                "give device.address another template"
            )
        points[point_id] = address
        site["points"].append({"id": point_id, **_point(template), "devices": [{"address": address}]})
    city = template.city.model_dump(mode="json")
    return {"version": 1, "city": city, "sites": [sites[name] for name in sorted(sites)]}


def _site(template: InventoryTemplate, site_id: str, known: Names[str, str]) -> dict[str, Any]:
    site = template.site
    result: dict[str, Any] = {"id": site_id, "kind": site.kind}
    for key, texts in (("name", site.name), ("address", site.address)):
        if texts is not None:
            result[key] = {"en": fill(texts.en, dict(known)), "uk": fill(texts.uk, dict(known))}
    if site.use is not None:
        result["use"] = site.use
    result["latitude"] = template.city.latitude if site.latitude is None else site.latitude
    result["longitude"] = template.city.longitude if site.longitude is None else site.longitude
    if site.floor_area_m2 is not None:
        result["floor_area_m2"] = site.floor_area_m2
    return {**result, "points": []}


def _point(template: InventoryTemplate) -> dict[str, Any]:
    point = template.point
    result: dict[str, Any] = {"kind": point.kind, "interval": f"{point.interval:.15g}s"}
    for key in ("fraction", "register_digits"):
        if getattr(point, key) is not None:
            result[key] = getattr(point, key)
    return result


def _id(text: str) -> str:
    """Text as an id: small letters, digits and hyphens, at most 63."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    if not name:
        raise SimulatorError(f"{text!r} makes no id: it has no letter from a to z and no digit")
    return name
