"""Networks of others in a schedule: what goes in, what they cost, which file they are; not their layers."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.arch import LARGEST, JsonObject, key_of, read_fields

# Far above what any network of one crop costs.
MOST_MACS = 10**13
LEAST_PADDING, MOST_PADDING = 1.0, 2.0


@dataclass(frozen=True)
class ImportedSpec:
    """A pose network that was imported: its name, the crop in pixels, multiply-accumulates, and its file's SHA-256.

    `padding`: how much larger than a person's box its crop is, None where nothing is known of that.
    """

    name: str
    height: int
    width: int
    macs: int
    parameters: int
    sha256: str
    padding: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w.+-]{1,80}", self.name):
            raise SpecError(f"imported network: name {self.name!r:.100} must be letters, digits, - _ . or +")
        for side in ("height", "width"):
            value = getattr(self, side)
            if type(value) is not int or not 0 < value <= LARGEST[side] or value % 4:
                raise SpecError(
                    f"imported network: {side} must be a multiple of 4 up to {LARGEST[side]}, not {value!r:.60}"
                )
        for number in ("macs", "parameters"):
            value = getattr(self, number)
            if type(value) is not int or not 0 <= value <= MOST_MACS:
                raise SpecError(f"imported network: {number} must be a whole number, not {value!r:.60}")
        if not isinstance(self.sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise SpecError("imported network: sha256 must be 64 hexadecimal digits")
        if self.padding is not None and not _is_padding(self.padding):
            raise SpecError(
                f"imported network: padding must be {LEAST_PADDING:g} to {MOST_PADDING:g}, not {self.padding!r:.60}"
            )

    @property
    def family(self) -> str:
        """Imported networks belong to none of the families."""
        return "imported"

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` turns back into an equal spec."""
        return asdict(self)

    @staticmethod
    def from_json(data: JsonObject) -> ImportedSpec:
        """The spec of a JSON object; SpecError names a missing, unknown or wrong field."""
        return ImportedSpec(**read_fields("imported network", data, ImportedSpec))

    @property
    def key(self) -> str:
        """A short name that equal specs share in every process."""
        return key_of(self.to_json())


def _is_padding(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return LEAST_PADDING <= value <= MOST_PADDING
