"""A bin's geometry: from the sensor's distance to the fill level, and back.

fill = 100 · clip((d_empty − d) / (d_empty − d_full), 0, 1), with `d` the distance from the sensor
to the content (Milesight EM400 and its like measure from the lid downwards): the share of the height, not
of the volume. docs/bins.md has the rules and their limits.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator


class BinGeometry(BaseModel):
    """Distances in millimetres as the sensor sees them: `empty_mm` to the floor, `full_mm` to the full mark.

    `full_mm` is never below the sensor's blind zone (200–250 mm for ultrasonic sensors).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    empty_mm: float = Field(gt=0, le=10_000)
    full_mm: float = Field(default=250, ge=0)
    volume_l: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _full_is_nearer(self) -> BinGeometry:
        if self.full_mm >= self.empty_mm:
            raise ValueError("full_mm must be smaller than empty_mm: the sensor looks down from the lid")
        return self


#: A distance this much beyond the floor is an echo from outside the bin (open lid), not content.
BEYOND_FLOOR = 1.10


def fill_from_distance(distance_mm: float, geometry: BinGeometry) -> tuple[float, bool]:
    """Fill level in percent (0–100) and whether the distance is plausible.

    Implausible: 0 or less (no echo), or more than 10 % beyond the floor (lid open).
    """
    share = (geometry.empty_mm - distance_mm) / (geometry.empty_mm - geometry.full_mm)
    plausible = 0 < distance_mm <= geometry.empty_mm * BEYOND_FLOOR
    return 100.0 * min(1.0, max(0.0, share)), plausible


Number = TypeVar("Number", float, npt.NDArray[np.float64])


def distance_from_fill(fill_level_pct: Number, geometry: BinGeometry) -> Number:
    """Distance in millimetres that a sensor sees at this fill level; the inverse of `fill_from_distance`."""
    return geometry.empty_mm - (geometry.empty_mm - geometry.full_mm) * fill_level_pct / 100.0
