"""A bin's geometry: from the sensor's distance to the fill level, and back.

h = clip((d_empty − d) / (d_empty − d_full), 0, 1) is the share of the height, with `d` the distance from the sensor to
the content (Milesight EM400 and its like measure from the lid downwards). The fill level is the share of the volume
below it, by the bin's shape; with upright walls both are the same. docs/bins.md has the formulas and their limits.
"""

from __future__ import annotations

from math import acos, asin, pi, sin, sqrt
from typing import Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

#: prism: upright walls. tapered: a floor narrower than the full mark by the same share in both directions (wheelie
#: bins). cylinder: lying on its side. sphere: igloos and bells.
Shape = Literal["prism", "tapered", "cylinder", "sphere"]

Floats = npt.NDArray[np.float64]


class BinGeometry(BaseModel):
    """Distances in millimetres as the sensor sees them: `empty_mm` to the floor, `full_mm` to the full mark.

    `blind_mm` is the sensor's blind zone (200–250 mm for ultrasonic sensors): what is nearer is no echo of the content.
    `floor_width_pct` is a tapered bin's width at the floor in per cent of that at the full mark.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    empty_mm: float = Field(gt=0, le=10_000)
    full_mm: float = Field(default=250, ge=0)
    volume_l: float | None = Field(default=None, gt=0)
    blind_mm: float | None = Field(default=None, ge=0)
    shape: Shape = "prism"
    floor_width_pct: float | None = Field(default=None, ge=10, lt=100)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.full_mm >= self.empty_mm:
            raise ValueError("full_mm must be smaller than empty_mm: the sensor looks down from the lid")
        if self.blind_mm is not None and self.blind_mm > self.full_mm:
            raise ValueError("blind_mm must not be larger than full_mm: the full mark could not be seen")
        if (self.shape == "tapered") != (self.floor_width_pct is not None):
            raise ValueError("a tapered bin needs its floor_width_pct, and no other shape has one")
        return self


#: A distance this much beyond the floor is an echo from outside the bin (open lid), not content.
BEYOND_FLOOR = 1.10


def fill_from_distance(distance_mm: float, geometry: BinGeometry) -> tuple[float, bool]:
    """Fill level in percent (0–100) and whether the distance is plausible.

    Implausible: 0 or less (no echo), less than the blind zone, or more than 10 % beyond the floor (lid open).
    """
    height = (geometry.empty_mm - distance_mm) / (geometry.empty_mm - geometry.full_mm)
    nearest = geometry.blind_mm or 0.0
    plausible = 0 < distance_mm <= geometry.empty_mm * BEYOND_FLOOR and distance_mm >= nearest
    height = min(1.0, max(0.0, height))
    return 100.0 * (height if geometry.shape == "prism" else volume_share(height, geometry)), plausible


def volume_share(height: float, geometry: BinGeometry) -> float:
    """The share of the volume below this share of the height, both 0–1."""
    if geometry.shape == "tapered":
        floor = _floor(geometry)
        return float(((floor + (1 - floor) * height) ** 3 - floor**3) / (1 - floor**3))
    if geometry.shape == "cylinder":
        return (acos(1 - 2 * height) - 2 * (1 - 2 * height) * sqrt(max(0.0, height - height * height))) / pi
    if geometry.shape == "sphere":
        return height * height * (3 - 2 * height)
    return height


def height_share(volume: float, geometry: BinGeometry) -> float:
    """The share of the height to which this share of the volume reaches; the inverse of `volume_share`."""
    if geometry.shape == "tapered":
        floor = _floor(geometry)
        return float(((volume * (1 - floor**3) + floor**3) ** (1 / 3) - floor) / (1 - floor))
    if geometry.shape == "sphere":
        return 0.5 - sin(asin(1 - 2 * volume) / 3)
    if geometry.shape == "cylinder":
        low, high = 0.0, 1.0
        for _ in range(50):  # the share has no inverse in closed form
            middle = (low + high) / 2
            low, high = (middle, high) if volume_share(middle, geometry) < volume else (low, middle)
        return (low + high) / 2
    return volume


def fills_from_distances(distances_mm: Floats, geometry: BinGeometry) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """`fill_from_distance` of many distances at once."""
    if geometry.shape != "prism":
        pairs = [fill_from_distance(float(distance), geometry) for distance in distances_mm]
        return np.array([fill for fill, _ in pairs]), np.array([plausible for _, plausible in pairs], dtype=bool)
    heights = (geometry.empty_mm - distances_mm) / (geometry.empty_mm - geometry.full_mm)
    plausible = (distances_mm > 0) & (distances_mm <= geometry.empty_mm * BEYOND_FLOOR)
    return 100.0 * np.clip(heights, 0, 1), plausible & (distances_mm >= (geometry.blind_mm or 0.0))


Number = TypeVar("Number", float, Floats)


def distance_from_fill(fill_level_pct: Number, geometry: BinGeometry) -> Number:
    """Distance in millimetres that a sensor sees at this fill level; the inverse of `fill_from_distance`."""
    share = fill_level_pct / 100.0
    if geometry.shape != "prism":
        share = np.vectorize(height_share, otypes=[float], excluded=[1])(share, geometry)[()]
    return geometry.empty_mm - (geometry.empty_mm - geometry.full_mm) * share


def _floor(geometry: BinGeometry) -> float:
    assert geometry.floor_width_pct is not None
    return geometry.floor_width_pct / 100
