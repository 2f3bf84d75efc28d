"""Skeletons, people, crops and heatmaps."""

from vipnas_cli.pose.geometry import CropTransform, between, mirrored_places
from vipnas_cli.pose.heatmaps import HeatmapCodec
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton

__all__ = ["COCO17", "POSETRACK15", "CropTransform", "HeatmapCodec", "People", "Skeleton", "between", "mirrored_places"]
