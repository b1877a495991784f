"""Who is told of a point's alerts: the contractor of a bin, else the facility managers, one for forty buildings."""

from __future__ import annotations

from math import ceil

from catalogue.inventory import Inventory

MANAGER = "facility manager"
BUILDINGS_A_MANAGER = 40


def people_of(inventory: Inventory) -> tuple[dict[str, str], dict[str, float]]:
    """(point → who, who → how many such persons). Points of nobody are left out."""
    names = {contractor.id: f"contractor {contractor.id}" for contractor in inventory.contractors}
    who: dict[str, str] = {}
    for site in inventory.sites:
        for point in site.points:
            if point.contractor is not None:
                who[point.id] = names[point.contractor]
            elif point.kind != "bin":
                who[point.id] = MANAGER
    buildings = sum(site.kind == "building" for site in inventory.sites)
    persons = dict.fromkeys(sorted(set(who.values())), 1.0)
    if MANAGER in persons:
        persons[MANAGER] = float(max(1, ceil(buildings / BUILDINGS_A_MANAGER)))
    return who, persons
