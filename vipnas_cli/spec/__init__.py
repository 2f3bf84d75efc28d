"""Architectures, fusions and schedules as frozen values; standard library only."""

from vipnas_cli.spec.arch import ArchSpec, HeadSpec, StageSpec, StemSpec
from vipnas_cli.spec.budget import Budget
from vipnas_cli.spec.presets import FAST_BASE, PRESETS, S_VIPNET_MOBILENETV3, S_VIPNET_RES50, preset
from vipnas_cli.spec.schedule import FusionSpec, Plan, Schedule

__all__ = [
    "FAST_BASE",
    "PRESETS",
    "S_VIPNET_MOBILENETV3",
    "S_VIPNET_RES50",
    "ArchSpec",
    "Budget",
    "FusionSpec",
    "HeadSpec",
    "Plan",
    "Schedule",
    "StageSpec",
    "StemSpec",
    "preset",
]
