"""What a profile file may contain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from catalogue.geometry import BinGeometry
from catalogue.inventory import PointKind
from ingest.codec.layout import Hex, Layout

#: Bytes as hex digits, with blanks where they help to read.
Bytes = Annotated[Hex, BeforeValidator(lambda text: "".join(text.split()) if isinstance(text, str) else text)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldMap(_Strict):
    """One field of the device.

    `unit` is what the device sends, `unit_from` the field beside it that tells; `suffix` is cut off the text before the
    number; `combine` makes one value of a list; `plus` are fields added to it (tariffs), all of which must be there;
    `channel` says which of the device's channels it belongs to; `only_if` are other fields that must have one of these
    values, where one field means several things: then `path` names it, and the key of the mapping is only a label.
    """

    metric: str
    path: str | None = None
    plus: list[str] = []
    unit: str | None = None
    unit_from: str | None = None
    suffix: str | None = None
    scale: float = 1.0
    values: dict[str, float] | None = None
    combine: Literal["sum", "mean"] | None = None
    absent_values: list[str | float | None] = []
    channel: str = ""
    only_if: dict[str, list[str | float]] = {}
    between: tuple[float, float] | None = None


class Series(_Strict):
    """A list inside the message whose items have their own `time` (a field of the item).

    Items are records of fields; or, with `name` and `value`, pairs that say which field they are (and its `unit`, which
    becomes the field `<name>_unit`). They are mapped by `fields`, where that is empty by the profile's own.
    With `replaces_fields` the message's own fields of the same metrics are only a copy of the last item.
    """

    time: str
    name: str | None = None
    value: str | None = None
    unit: str | None = None
    fields: dict[str, FieldMap] = {}
    replaces_fields: bool = False

    @model_validator(mode="after")
    def _pairs(self) -> Series:
        if (self.name is None) != (self.value is None) or (self.unit and not self.name):
            raise ValueError("pairs need both name and value; only pairs have a unit")
        return self


class SuspectIf(_Strict):
    """A condition on a field that makes the readings of `metrics` suspect."""

    field: str
    equals: list[str | float] = []
    below: float | None = None
    above: float | None = None
    metrics: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _says_something(self) -> SuspectIf:
        if not self.equals and self.below is None and self.above is None:
            raise ValueError("needs equals, below or above")
        return self


class SeriesExample(_Strict):
    """What an item of a series must give. `time` is RFC 3339."""

    time: str
    readings: dict[str, float]


class Example(_Strict):
    """A message as the device sends it, and the exact readings that it must give.

    Either `topic` and `payload` as they come; or for LoRaWAN, whatever the network server, the decoded `fields`, the
    bytes `data` with their `port`, or both: then both must give the same. `name` is the model's name that the server
    tells. `channels` are the readings of a device's further channels, `series` those with a time of their own.
    """

    topic: str | None = None
    payload: Any = None
    fields: dict[str, Any] | None = None
    data: Bytes | None = None
    port: int = Field(default=1, ge=1, le=255)
    name: str | None = None
    bin: BinGeometry | None = None
    readings: dict[str, float] = {}
    suspect: list[str] = []
    channels: dict[str, dict[str, float]] = {}
    series: list[SeriesExample] = []

    @model_validator(mode="after")
    def _one_form(self) -> Example:
        if (self.topic is not None) == (self.fields is not None or self.data is not None):
            raise ValueError("needs either topic and payload, or fields, data or both")
        if not (self.readings or self.channels or self.series):
            raise ValueError("must give a reading")
        return self


class Recognise(_Strict):
    """How a device that the inventory does not name is recognised.

    By `names` within the model name that the network server tells; or by `fields` that it has, all of them. With
    `family` (part of a name that several models share) the fields count only together with it. A `general` profile is
    for whatever nobody knows: it is taken last, if the message has any of its fields, and no device is bound to it.
    """

    names: list[str] = []
    family: list[str] = []
    fields: list[str] = []
    general: bool = False

    @model_validator(mode="after")
    def _family_has_fields(self) -> Recognise:
        if self.family and not self.fields:
            raise ValueError("family needs fields")
        if self.general and (self.names or self.fields):
            raise ValueError("a general profile has neither names nor fields")
        return self


class BlockFile(_Strict):
    """A named part that profiles share."""

    version: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    inside: list[str] = []
    fields: dict[str, FieldMap] = {}
    ignored: list[str] = []
    series: dict[str, Series] = {}
    suspect_if: list[SuspectIf] = []
    codec: dict[str, dict[str, Any]] = {}
    quirks: list[str] = []


class ProfileFile(_Strict):
    """The content of a profile file. `examples` are missing where a shipped file was read without them."""

    version: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    extends: str | None = None
    blocks: list[str] = []
    maker: str
    model: str
    kind: PointKind
    envelopes: list[str] = Field(min_length=1)
    documentation: str
    recognise: Recognise = Recognise()
    inside: list[str] = []
    fields: dict[str, FieldMap] = Field(min_length=1)
    ignored: list[str] = []
    series: dict[str, Series] = {}
    suspect_if: list[SuspectIf] = []
    codec: dict[str, Layout] = {}
    quirks: list[str] = []
    examples: list[Example] = []
