"""Scores of poses and tracks: pure functions on arrays."""

from vipnas_cli.metrics.clear_mot import CLEAR_MOT, POSEVAL, MotRules, TrackingScores, tracking_scores
from vipnas_cli.metrics.coco import KeypointScores, evaluate_coco
from vipnas_cli.metrics.oks import common_areas, covered_shares, iou, oks, oks_nms
from vipnas_cli.metrics.pck import LIMB_JOINTS, PCK_THRESHOLDS, limb_sizes, pck
from vipnas_cli.metrics.posetrack import JointScores, PoseScores, PredictedSequence, TruthSequence, pose_scores

__all__ = [
    "CLEAR_MOT",
    "LIMB_JOINTS",
    "PCK_THRESHOLDS",
    "POSEVAL",
    "JointScores",
    "KeypointScores",
    "MotRules",
    "PoseScores",
    "PredictedSequence",
    "TrackingScores",
    "TruthSequence",
    "common_areas",
    "covered_shares",
    "evaluate_coco",
    "iou",
    "limb_sizes",
    "oks",
    "oks_nms",
    "pck",
    "pose_scores",
    "tracking_scores",
]
