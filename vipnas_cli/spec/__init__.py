"""Architectures, fusions, schedules and the spaces of them as frozen values; standard library only."""

from vipnas_cli.spec.arch import ArchSpec, HeadSpec, StageSpec, StemSpec
from vipnas_cli.spec.budget import Budget
from vipnas_cli.spec.fixed import FixedNetwork, KeySpace, key_space_of
from vipnas_cli.spec.imported import ImportedSpec
from vipnas_cli.spec.presets import FAST_BASE, PRESETS, S_VIPNET_MOBILENETV3, S_VIPNET_RES50, preset
from vipnas_cli.spec.schedule import FusionSpec, Plan, Schedule, read_schedule, schedule_of
from vipnas_cli.spec.space import SearchSpace
from vipnas_cli.spec.temporal_space import CycleSpace, TemporalSpace

__all__ = [
    "FAST_BASE",
    "PRESETS",
    "S_VIPNET_MOBILENETV3",
    "S_VIPNET_RES50",
    "ArchSpec",
    "Budget",
    "CycleSpace",
    "FixedNetwork",
    "FusionSpec",
    "HeadSpec",
    "ImportedSpec",
    "KeySpace",
    "Plan",
    "Schedule",
    "SearchSpace",
    "StageSpec",
    "StemSpec",
    "TemporalSpace",
    "key_space_of",
    "preset",
    "read_schedule",
    "schedule_of",
]
