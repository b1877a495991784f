"""Where a reading comes from, and why it is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalogue.geometry import BEYOND_FLOOR, BinGeometry, fill_from_distance
from catalogue.metrics import Quality, metrics, metrics_by_id
from ingest.decoder import Decoded
from ingest.envelopes.base import Uplink
from ingest.field_path import get, path_of
from ingest.profile import Profile
from ingest.profile_file import SuspectIf


@dataclass(frozen=True)
class ReadingTold:
    """A reading; `origin` says where it comes from if that is no field of the profile, `doubts` why it is not good."""

    metric: str
    unit: str
    value: float
    quality: Quality
    origin: str = ""
    doubts: tuple[str, ...] = ()


def readings_told(
    part: Decoded,
    uplink: Uplink,
    profile: Profile | None,
    content: Mapping[str, Any],
    geometry: BinGeometry | None,
) -> list[ReadingTold]:
    """The readings of one moment, each with its origin and what speaks against it."""
    by_name = {metrics_by_id()[metric_id].name: value for _, metric_id, value, _ in part.readings}
    mapped = profile is not None and any(spec.metric == "fill_level_pct" for spec in profile.file.fields.values())
    derived = geometry is not None and "distance_mm" in by_name and not mapped
    derived = derived and "fill_level_pct" not in (uplink.metrics or {})
    told = []
    for _, metric_id, value, quality in part.readings:
        metric = metrics_by_id()[metric_id]
        origin = ""
        if metric.name in uplink.signal and value == uplink.signal[metric.name]:
            origin = "the signal, which the format tells"
        elif uplink.metrics is not None and metric.name in uplink.metrics:
            origin = "the format itself says what it is"
        doubts = _doubts(metric.name, value, uplink, profile, content) if quality != Quality.GOOD else []
        if metric.name == "fill_level_pct" and derived and geometry is not None:
            origin = formula(by_name["distance_mm"], geometry)
            if quality != Quality.GOOD:
                doubts += _doubts_of_fill(by_name, geometry)
                doubts += _doubts("distance_mm", by_name["distance_mm"], uplink, profile, content)
        told.append(
            ReadingTold(metric.name, metric.unit, value, Quality(quality), origin, tuple(dict.fromkeys(doubts)))
        )
    return told


def formula(distance_mm: float, geometry: BinGeometry) -> str:
    """How a fill level came about, with its numbers."""
    share = (geometry.empty_mm - distance_mm) / (geometry.empty_mm - geometry.full_mm)
    fill = fill_from_distance(distance_mm, geometry)[0]
    cut = "" if 0 <= share <= 1 else f", cut to {min(1.0, max(0.0, share)) * 100:.0f}"
    volume = "" if geometry.shape == "prism" else f" of the height, which is {fill:.4g} of a {geometry.shape}'s volume"
    return (
        f"from the distance: 100 · ({geometry.empty_mm:g} − {distance_mm:g}) / "
        f"({geometry.empty_mm:g} − {geometry.full_mm:g}) = {100 * share:.4g}{cut}{volume}"
    )


def _doubts_of_fill(found: Mapping[str, float], geometry: BinGeometry) -> list[str]:
    doubts = []
    distance = found["distance_mm"]
    if distance <= 0:
        doubts.append(f"a distance of {distance:g} mm is no echo")
    elif geometry.blind_mm is not None and distance < geometry.blind_mm:
        doubts.append(f"{distance:g} mm is nearer than the sensor's blind zone of {geometry.blind_mm:g} mm")
    elif distance > geometry.empty_mm * BEYOND_FLOOR:
        doubts.append(
            f"{distance:g} mm is more than 10 % beyond the floor at {geometry.empty_mm:g} mm: open lid, or echo"
        )
    if found.get("tilted"):
        doubts.append("the bin is tilted: the sensor sees its wall")
    if found.get("lid_open"):
        doubts.append("the lid is open: the sensor looks past the content")
    return doubts


def _doubts(name: str, value: float, uplink: Uplink, profile: Profile | None, content: Mapping[str, Any]) -> list[str]:
    metric = metrics()[name]
    low, high = metric.range
    doubts = []
    if not low <= value <= high:
        doubts.append(f"{value:g} {metric.unit} is outside of the plausible {low:g} to {high:g}")
    if name in uplink.suspect:
        doubts.append("the device itself, or its format, marks it as doubtful")
    if uplink.quality != Quality.GOOD:
        doubts.append(f"the message says quality {uplink.quality.name.lower()}")
    for spec in profile.file.suspect_if if profile is not None else ():
        if name in spec.metrics and profile is not None and _holds(profile, spec, content):
            doubts.append(
                f"suspect_if of the profile: {spec.field} is {get(content, path_of(spec.field))!r}{_said(spec)}"
            )
    if not doubts and name != "fill_level_pct":
        doubts.append("suspect_if of the profile holds for it")
    return doubts


def _holds(profile: Profile, spec: SuspectIf, content: Mapping[str, Any]) -> bool:
    file = profile.file.model_copy(update={"suspect_if": [spec], "codec": {}, "inside": [], "series": {}})
    mapped = profile.with_file(file).map(Uplink("", None, dict(content)), report_unknown=False)
    return any(result.suspect for result in mapped)


def _said(spec: SuspectIf) -> str:
    parts = []
    if spec.below is not None:
        parts.append(f"below {spec.below:g}")
    if spec.above is not None:
        parts.append(f"above {spec.above:g}")
    return f", {' or '.join(parts)}" if parts else ""
