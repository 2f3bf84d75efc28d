"""A schedule: which network runs at which position of the cycle, and how followers fuse the previous heatmaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vipnas_cli.documents import DocumentKind
from vipnas_cli.errors import SpecError, UsageError
from vipnas_cli.files import shown
from vipnas_cli.spec.arch import ArchSpec, JsonObject, key_of, read_fields, read_list
from vipnas_cli.spec.imported import ImportedSpec
from vipnas_cli.spec.presets import PRESETS, preset

FusionOperation = Literal["none", "add", "mul", "cat"]
SPECIFICATIONS = DocumentKind("a specification in JSON", UsageError, "name a spec that `vipnas search` wrote")
# Frames of a cycle, far above what propagation bears.
LONGEST = 1000


@dataclass(frozen=True)
class FusionSpec:
    """How a follower takes in the previous frame's heatmaps (paper section 3.1): operation and stage F1 … F4.

    `stage` is 0 exactly when the operation is "none".
    """

    operation: FusionOperation = "none"
    stage: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.operation, str) or self.operation not in get_args(FusionOperation):
            raise SpecError(f"fusion: operation must be one of {get_args(FusionOperation)}, not {self.operation!r:.60}")
        if not isinstance(self.stage, int) or isinstance(self.stage, bool):
            raise SpecError(f"fusion: stage must be a whole number, not {self.stage!r:.60}")
        if self.operation == "none" and self.stage != 0:
            raise SpecError(f"fusion: stage must be 0 without fusion, not {self.stage!r:.60}")
        if self.operation != "none" and self.stage not in (1, 2, 3, 4):
            raise SpecError(f"fusion: stage must be 1, 2, 3 or 4, not {self.stage!r:.60}")


@dataclass(frozen=True)
class Plan:
    """One position of the cycle: an architecture, or a network of others, and a fusion."""

    arch: ArchSpec | ImportedSpec
    fusion: FusionSpec = FusionSpec()

    def __post_init__(self) -> None:
        if isinstance(self.arch, ImportedSpec) and self.fusion.operation != "none":
            raise SpecError(
                f"{self.arch.name} is an imported network, which takes no heatmaps: its fusion must be none"
            )

    @property
    def built(self) -> ArchSpec:
        """The architecture that the network is built by; SpecError for an imported network, which has none."""
        if isinstance(self.arch, ImportedSpec):
            raise SpecError(f"{self.arch.name} is an imported network: it can be run, but not built or varied")
        return self.arch

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` turns back into an equal plan."""
        return {"arch": self.arch.to_json(), "fusion": {"operation": self.fusion.operation, "stage": self.fusion.stage}}

    @staticmethod
    def from_json(data: JsonObject) -> Plan:
        """The plan of a JSON object; SpecError names a wrong field."""
        fields = read_fields("plan", data, Plan)
        return Plan(_arch_of(fields["arch"]), FusionSpec(**read_fields("fusion", fields["fusion"], FusionSpec)))

    @property
    def key(self) -> str:
        """A short name that equal plans share in every process."""
        return key_of(self.to_json())


def _arch_of(data: JsonObject) -> ArchSpec | ImportedSpec:
    imported = isinstance(data, dict) and "sha256" in data
    return ImportedSpec.from_json(data) if imported else ArchSpec.from_json(data)


@dataclass(frozen=True)
class Schedule:
    """A key frame's plan and those of its T followers; the cycle has T + 1 frames and T = 0 is legal."""

    plans: tuple[Plan, ...]

    def __post_init__(self) -> None:
        if not self.plans:
            raise SpecError("schedule: at least the key frame's plan is needed")
        if len(self.plans) > LONGEST:
            raise SpecError(f"schedule: a cycle has at most {LONGEST} frames, not {len(self.plans)}")
        if self.plans[0].fusion.operation != "none":
            raise SpecError("schedule: the key frame sees no previous heatmaps, so its fusion must be none")

    def __len__(self) -> int:
        return len(self.plans)

    def plan(self, position: int) -> Plan:
        """The plan at a frame counted from the last key frame; positions repeat with the cycle."""
        return self.plans[position % len(self.plans)]

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` turns back into an equal schedule."""
        return {"plans": [plan.to_json() for plan in self.plans]}

    @staticmethod
    def from_json(data: JsonObject) -> Schedule:
        """The schedule of a JSON object; SpecError names a wrong field."""
        fields = read_fields("schedule", data, Schedule)
        return Schedule(tuple(Plan.from_json(plan) for plan in read_list("schedule", fields, "plans")))

    @property
    def key(self) -> str:
        """A short name that equal schedules share in every process."""
        return key_of(self.to_json())


def schedule_of(data: object) -> Schedule:
    """The schedule that a JSON object describes: a searched candidate's, itself, or a plan or architecture alone.

    SpecError for anything else.
    """
    if isinstance(data, dict) and "schedule" in data:
        data = data["schedule"]
    if not isinstance(data, dict):
        raise SpecError("the JSON holds no object", "name a spec that `vipnas search` wrote")
    if "plans" in data:
        return Schedule.from_json(data)
    if "arch" in data:
        return Schedule((Plan.from_json(data),))
    return Schedule((Plan(ArchSpec.from_json(data)),))


def read_schedule(name_or_path: str) -> Schedule:
    """The schedule of a preset's name, or of a JSON file with an architecture, a plan, a schedule or a candidate.

    UsageError if it is neither or the file cannot be read, SpecError if the file describes something else.
    """
    if name_or_path in PRESETS:
        return Schedule((Plan(preset(name_or_path)),))
    path = Path(name_or_path)
    if not path.exists():
        hint = f"presets are {', '.join(PRESETS)}"
        raise UsageError(f"{shown(name_or_path)} is neither a file nor a preset", hint)
    found = SPECIFICATIONS.read_any(path)
    try:
        return schedule_of(found)
    except SpecError as error:
        raise SpecError(f"{shown(path)}: {error.what}", error.hint) from error
