"""A made-up city of any size: public buildings and container stands around the middle of Ivano-Frankivsk."""

from __future__ import annotations

import io
from itertools import accumulate
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from catalogue.inventory import Inventory, parse_duration
from simulators.chance import Chance

_LATITUDE, _LONGITUDE = 48.9226, 24.7111
_ZONES = (
    ("centre", "Centre", "Центр"),
    ("north", "North", "Північ"),
    ("east", "East", "Схід"),
    ("south", "South", "Південь"),
    ("west", "West", "Захід"),
)
#: Use → share of the buildings, floor area from and to (m2), name.
_USES: dict[str, tuple[float, float, float, str, str]] = {
    "school": (0.24, 2500, 7500, "Lyceum", "Ліцей"),
    "kindergarten": (0.26, 800, 2600, "Kindergarten", "Дитсадок"),
    "office": (0.14, 700, 4500, "Office", "Установа"),
    "library": (0.10, 250, 1800, "Library", "Бібліотека"),
    "hospital": (0.08, 2500, 8000, "Clinic", "Поліклініка"),
    "culture": (0.07, 900, 4000, "House of Culture", "Будинок культури"),
    "sport": (0.05, 1200, 4000, "Sports Hall", "Спортзал"),
    "lighting": (0.03, 600, 2500, "Street Lighting", "Вуличне освітлення"),
    "other": (0.03, 500, 3000, "Municipal Building", "Комунальна будівля"),
}
#: Fraction → name, distance to the floor and to the full mark (mm), volume (l).
_FRACTIONS = {
    "mixed": ("mixed waste", "змішані відходи", 1500, 300, 1100),
    "paper": ("paper", "папір", 1400, 280, 1100),
    "plastic": ("plastic", "пластик", 1500, 300, 1100),
    "glass": ("glass", "скло", 1800, 300, 2500),
    "bio": ("bio-waste", "біовідходи", 1100, 260, 660),
}
_BINS_A_STAND = 4


class CitySize(BaseModel):
    """How large a city to make. `interval` replaces the usual times between reports: 15m for meters, 30m for bins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    buildings: int = Field(ge=0, le=100_000)
    bins: int = Field(ge=0, le=1_000_000)
    interval: str | None = None


def generate(size: CitySize) -> dict[str, Any]:
    """The content of an inventory file: the same for the same size."""
    if size.interval is not None:
        parse_duration(size.interval)
    chance = Chance(size.buildings * 1_000_003 + size.bins, "city")
    sites = [_building(number, size, chance) for number in range(1, size.buildings + 1)]
    stands = -(-size.bins // _BINS_A_STAND)
    sites += [_stand(number, size, chance) for number in range(1, stands + 1)]
    if sites:
        station = {
            "id": "weather", "kind": "weather", "name": {"en": "Weather station", "uk": "Метеостанція"},
            "interval": size.interval or "10m", "devices": [{"address": "weather-1"}],
        }  # fmt: skip
        sites[0]["points"].append(station)
    return {
        "version": 1,
        "city": {
            "name": {"en": "Model city", "uk": "Модельне місто"}, "time_zone": "Europe/Kyiv", "currency": "UAH",
            "latitude": _LATITUDE, "longitude": _LONGITUDE,
        },
        "zones": [{"id": zone, "name": {"en": en, "uk": uk}} for zone, en, uk in _ZONES],
        "contractors": [
            {"id": "ekoresurs", "name": {"en": "Eko-Resurs", "uk": "Еко-Ресурс"}},
            {"id": "chyste-misto", "name": {"en": "Chyste Misto", "uk": "Чисте місто"}},
        ],
        "tariffs": [
            {"kind": kind, "price": price, "valid_from": "2025-01-01"}
            for kind, price in (("electricity", 8.2), ("heat", 2.35), ("gas", 16.5), ("water", 36.9))
        ],
        "sites": sites,
    }  # fmt: skip


def generate_inventory(size: CitySize) -> Inventory:
    """The same as an inventory."""
    return Inventory.model_validate(generate(size))


def as_yaml(content: dict[str, Any]) -> str:
    """As the text of an inventory file."""
    yaml = YAML()
    yaml.width = 200
    out = io.StringIO()
    yaml.dump(content, out)
    return out.getvalue()


def _place(chance: Chance, number: int, stream: int) -> dict[str, Any]:
    east, north = (float(chance.uniform(number, stream + part)) for part in (0, 1))
    return {
        "zone": _ZONES[number % len(_ZONES)][0],
        "latitude": round(_LATITUDE + 0.04 * (north - 0.5), 5),
        "longitude": round(_LONGITUDE + 0.06 * (east - 0.5), 5),
    }


def _building(number: int, size: CitySize, chance: Chance) -> dict[str, Any]:
    uses = list(_USES)
    # Evenly, so that a small city has them in the same shares as a large one.
    drawn = (number * 0.6180339887498949) % 1.0
    ends = list(accumulate(_USES[use][0] for use in uses))
    use = next((name for name, end in zip(uses, ends, strict=True) if drawn < end), uses[-1])
    _, least, most, en, uk = _USES[use]
    name = f"building-{number:04d}"
    interval = size.interval or "15m"
    tasmota = number % 3 != 0
    meter: dict[str, Any] = {"address": f"el-{number:04d}"} | ({"profile": "eastron-sdm630-tasmota"} if tasmota else {})
    points: list[dict[str, Any]] = [
        {
            "id": f"{name}-electricity",
            "kind": "electricity",
            "interval": interval,
            "register_digits": 7,
            "devices": [meter],
        }
    ]
    if use != "lighting":
        fuel = "gas" if number % 4 == 0 else "heat"
        points += [
            {
                "id": f"{name}-{fuel}", "kind": fuel, "interval": interval,
                "devices": [{"address": f"{fuel}-{number:04d}"}],
            },
            {
                "id": f"{name}-water", "kind": "water", "interval": interval, "register_digits": 5,
                "devices": [{"address": f"24e124136d{number:06x}", "profile": "milesight-em300-di"}],
            },
        ]  # fmt: skip
    return {
        "id": name, "kind": "building", "use": use,
        "name": {"en": f"{en} {number}", "uk": f"{uk} № {number}"},
        **_place(chance, number, 1),
        "floor_area_m2": round(least + (most - least) * float(chance.uniform(number, 3)), -1),
        "points": points,
    }  # fmt: skip


def _stand(number: int, size: CitySize, chance: Chance) -> dict[str, Any]:
    name = f"stand-{number:05d}"
    fractions = ["mixed", "paper", "plastic", "glass" if number % 2 else "bio"]
    first = (number - 1) * _BINS_A_STAND
    place = _place(chance, number, 11)
    contractor = "ekoresurs" if place["zone"] in ("centre", "north", "east") else "chyste-misto"
    points = []
    for offset, fraction in enumerate(fractions[: size.bins - first]):
        en, uk, empty, full, volume = _FRACTIONS[fraction]
        points.append(
            {
                "id": f"{name}-{fraction}", "kind": "bin", "fraction": fraction, "contractor": contractor,
                "name": {"en": f"Stand {number}, {en}", "uk": f"Майданчик {number}, {uk}"},
                "interval": size.interval or "30m",
                "bin": {"empty_mm": empty, "full_mm": full, "volume_l": volume},
                "devices": [{"address": f"24e124713d{first + offset + 1:06x}", "profile": "milesight-em400-mud"}],
            }
        )  # fmt: skip
    return {
        "id": name, "kind": "stand", "name": {"en": f"Stand {number}", "uk": f"Майданчик {number}"}, **place,
        "points": points,
    }  # fmt: skip
