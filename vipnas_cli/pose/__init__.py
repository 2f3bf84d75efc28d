"""Skeletons, people, crops and heatmaps."""

from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton

__all__ = ["COCO17", "POSETRACK15", "People", "Skeleton"]
