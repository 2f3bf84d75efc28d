"""Identities over time and smooth motion."""

from vipnas_cli.tracking.ids import IdentityTracker, TrackingOptions
from vipnas_cli.tracking.smoothing import HIGH, LOW, OFF, SMOOTHING_PRESETS, Smoother, SmoothingOptions

__all__ = [
    "HIGH",
    "LOW",
    "OFF",
    "SMOOTHING_PRESETS",
    "IdentityTracker",
    "Smoother",
    "SmoothingOptions",
    "TrackingOptions",
]
