"""Scores of poses and tracks: pure functions on arrays."""

from vipnas_cli.metrics.clear_mot import CLEAR_MOT, POSEVAL, MotRules, TrackingScores, tracking_scores
from vipnas_cli.metrics.coco import KeypointScores, evaluate_coco
from vipnas_cli.metrics.pck import LIMB_JOINTS, PCK_THRESHOLDS, limb_pck, limb_sizes, limbs_of, pck
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
    "evaluate_coco",
    "limb_pck",
    "limb_sizes",
    "limbs_of",
    "pck",
    "pose_scores",
    "tracking_scores",
]
