"""The YAML key `codec:` of a profile: layouts of a device's bytes, checked before any message comes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Hex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})+$", to_lower=True)]
Order = Literal["big", "little"]
NumberType = Literal["u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "u64", "i64", "f32", "f64"]
Type = Literal[
    "u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "u64", "i64", "f32", "f64", "bcd32", "mbus_datetime"
]

#: Bytes of each type. bcd32: eight decimal digits; mbus_datetime: type F of EN 13757-3, local time to the minute.
SIZE: dict[str, int] = {
    "u8": 1, "i8": 1, "u16": 2, "i16": 2, "u24": 3, "i24": 3, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "f32": 4,
    "f64": 8, "bcd32": 4, "mbus_datetime": 4,
}  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Strict):
    """A condition: the bytes from `at` on (negative: from the end) are `hex`; or the number there is in `equals`, or at
    most `within` away from the one of the same type at `near`."""

    at: int
    hex: Hex | None = None
    type: NumberType = "u8"
    order: Order = "big"
    mask: int | None = None
    equals: list[int] = []
    near: int | None = None
    within: int = 0

    @model_validator(mode="after")
    def _one_kind(self) -> When:
        if (self.hex is not None) + bool(self.equals) + (self.near is not None) != 1:
            raise ValueError("needs either hex, equals or near")
        return self


class Value(_Strict):
    """A number in the bytes. In this order: read at `at`, cut out by `bits` (lowest, highest) or `mask`, left out if in
    `absent`, named by `values`, else times `scale` plus `offset`. `when` says in which messages it exists."""

    at: int = 0
    type: Type = "u8"
    order: Order | None = None
    bits: tuple[int, int] | None = None
    signed: bool = False
    mask: int | None = None
    scale: float = 1.0
    offset: float = 0.0
    values: dict[str, str | float] | None = None
    absent: list[int] = []
    when: When | None = None

    @model_validator(mode="after")
    def _fits(self) -> Value:
        if self.bits is not None and not 0 <= self.bits[0] <= self.bits[1] < 8 * SIZE[self.type]:
            raise ValueError(f"bits must be the lowest and the highest of {8 * SIZE[self.type]} bits")
        if (self.bits or self.mask is not None) and self.type[0] in "fbm":
            raise ValueError(f"bits and mask cut integers, not {self.type}")
        if self.bits and self.mask is not None:
            raise ValueError("takes bits or mask, not both")
        if self.signed and not self.bits:
            raise ValueError("signed belongs to bits; whole numbers have a type i8, i16 …")
        return self


class Group(_Strict):
    """Values that are there only if bit `bit` of the flags is set."""

    bit: int = Field(ge=0, le=63)
    length: int = Field(ge=1)
    fields: dict[str, Value] = {}


class Flags(_Strict):
    """A bit field that says which groups follow from byte `start` on, in the order of `groups` (Decentlab)."""

    at: int = Field(ge=0)
    type: NumberType = "u16"
    start: int = Field(ge=0)
    groups: list[Group] = Field(min_length=1)


class Deltas(_Strict):
    """Equal steps: each a whole number of `type`, or `bits` wide in a stream that begins with the lowest bit."""

    at: int = Field(ge=0)
    type: NumberType | None = None
    bits: int | None = Field(default=None, ge=1, le=32)
    count: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Deltas:
        if (self.type is None) == (self.bits is None):
            raise ValueError("needs either type or bits")
        return self


class Steps(_Strict):
    """A total, and what was added to it in each interval (Axioma), or before it (`backward`, Kamstrup).

    The first moment is `time`, cut down to whole `time_floor_s`, plus `time_offset_s`.

    Becomes the list `into` of items: `time_name` (seconds since 1970, or local time), `value_name` (the total),
    and the `constants`.
    """

    into: str
    time: Value
    total: Value
    deltas: Deltas
    every_s: int = Field(gt=0)
    backward: bool = False
    time_floor_s: int = Field(default=1, gt=0)
    time_offset_s: int = 0
    time_name: str = "timestamp"
    value_name: str = "value"
    constants: dict[str, str] = {}


class Entry(_Strict):
    """What follows a key: `length` bytes (none: all the rest). With `list` every occurrence is an item of that list."""

    length: int | None = Field(default=None, ge=0)
    fields: dict[str, Value] = {}
    list: str | None = None


class Tlv(_Strict):
    """Key, value, key, value …: Milesight (keys of two bytes: channel, type), Elsys (one byte), Tektelic (two).

    `length_first`: a byte before each key counts the bytes of key and value (Pepperl+Fuchs), so that unknown keys can
    be passed over. `ends`: keys beginning so (answers to settings) end the reading without a word.
    """

    key_bytes: Literal[1, 2] = 2
    length_first: bool = False
    order: Order = "big"
    entries: dict[Hex, Entry] = Field(min_length=1)
    ends: list[Hex] = []

    @model_validator(mode="after")
    def _keys_fit(self) -> Tlv:
        wrong = [key for key in self.entries if len(key) != 2 * self.key_bytes]
        if wrong:
            raise ValueError(f"keys have {self.key_bytes} bytes; {', '.join(wrong)} do not")
        return self


class Cayenne(_Strict):
    """Cayenne LPP: `names` tells the field of a channel and type (`3.temperature`); else it is `temperature_3`."""

    names: dict[str, str] = {}


class Layout(_Strict):
    """One form of a device's messages: when it applies, and one way to read it.

    `constants` are fields that the form itself tells; `nothing` is a form that holds no readings.
    """

    ports: list[int] = []
    length: int | None = None
    lengths: tuple[int, int] | None = None
    when: list[When] = []
    order: Order = "big"
    constants: dict[str, str] = {}
    fields: dict[str, Value] = {}
    flags: Flags | None = None
    steps: Steps | None = None
    tlv: Tlv | None = None
    cayenne: Cayenne | None = None
    nothing: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Layout:
        fixed = bool(self.fields or self.flags or self.steps)
        if sum((fixed, self.tlv is not None, self.cayenne is not None, self.nothing)) != 1:
            raise ValueError("needs either fields (with flags, steps), tlv, cayenne, or nothing: true")
        return self
