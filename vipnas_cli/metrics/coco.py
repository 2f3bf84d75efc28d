"""COCO's keypoint scores by way of faster-coco-eval, whose numbers equal those of pycocotools."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.documents import LARGEST_LABELS, DocumentKind
from vipnas_cli.errors import DataError, VipnasError
from vipnas_cli.pose import COCO17

LABELS = DocumentKind("a COCO keypoint file", DataError, "Give a COCO keypoint file.", LARGEST_LABELS)


@dataclass(frozen=True)
class KeypointScores:
    """COCO's ten numbers in percent: average precision and recall, by OKS threshold and by area.

    NaN where the ground truth has nobody to judge by, for example no one of medium area.
    """

    AP: float
    AP50: float
    AP75: float
    APM: float
    APL: float
    AR: float
    AR50: float
    AR75: float
    ARM: float
    ARL: float


def evaluate_coco(
    ground_truth: Mapping[str, Any] | Path,
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float] = COCO17.sigmas,
) -> KeypointScores:
    """Score results (image_id, category_id, keypoints 3K long, score) against COCO annotations or their file.

    The file may be .json or .json.gz. DataError for unreadable or contradictory data, VipnasError without the extra
    `eval`.
    """
    evaluator = _evaluator(ground_truth, results, sigmas)
    # The evaluator says -1 for undefined.
    return KeypointScores(*(100 * float(value) if value >= 0 else math.nan for value in evaluator.stats))


def precision_at_recall(
    ground_truth: Mapping[str, Any] | Path,
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float] = COCO17.sigmas,
) -> NDArray[np.float64]:
    """Precision (10, 101) at the OKS thresholds 0.5 … 0.95 and recalls 0 … 1 whose mean is AP; NaN without labels."""
    # Thresholds, recalls, categories, areas, detections per image: all persons of the one category are asked for.
    every = np.asarray(_evaluator(ground_truth, results, sigmas).eval["precision"], np.float64)
    if not every.size:
        return np.full(every.shape[:2], np.nan)
    precision = every[:, :, 0, 0, 0]
    return np.where(precision >= 0, precision, np.nan)


def evaluation_package() -> Any:
    """The package faster_coco_eval; VipnasError if it is not installed."""
    try:
        import faster_coco_eval
    except ImportError as error:
        raise VipnasError(
            "scoring by the COCO rules needs the package faster-coco-eval, which is not installed",
            "Install it with: pip install 'vipnas[eval]'",
        ) from error
    return faster_coco_eval


def _evaluator(
    ground_truth: Mapping[str, Any] | Path, results: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> Any:
    """The evaluator of faster-coco-eval after its work."""
    truth = _read_annotations(ground_truth) if isinstance(ground_truth, Path) else ground_truth
    origin = str(ground_truth) if isinstance(ground_truth, Path) else "the ground truth"
    with LABELS.told(origin):
        _check(truth, results, len(sigmas), origin)
    package = evaluation_package()
    # Ids count from 1 as 0 means "unmatched" to the evaluator; copies, as it writes into what it is given.
    annotations = [{**person, "id": number} for number, person in enumerate(truth["annotations"], start=1)]
    coco = package.COCO({**truth, "annotations": annotations})
    found = coco.loadRes(_scored(results))
    evaluator = package.COCOeval_faster(coco, found, "keypoints", kpt_oks_sigmas=list(sigmas))
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator


def _scored(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What counts of the results: the evaluator would take other fields, of the first result, for another kind.

    With boxes it takes the area from them, as pycocotools does, so that all have one or none.
    """
    boxed = all(isinstance(result.get("bbox"), list) for result in results)
    fields = ("image_id", "category_id", "keypoints", "score", *(("bbox",) if boxed else ()))
    return [{name: result[name] for name in fields} for result in results]


def _read_annotations(path: Path) -> dict[str, Any]:
    return LABELS.read(path, dict[str, Any])


def _check(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], keypoints: int, origin: str) -> None:
    """DataError naming the first entry that could not be scored."""
    for part in ("images", "annotations", "categories"):
        if not isinstance(truth.get(part), list):
            raise DataError(f"{origin} has no list {part!r}", "Give a COCO keypoint file.")
    images = {image["id"] for image in truth["images"]}
    for person in truth["annotations"]:
        name = f"annotation {person.get('id')} of {origin}"
        _check_entry(name, person, ("image_id", "category_id", "area", "bbox", "iscrowd", "num_keypoints"), images)
        _check_keypoints(name, person, keypoints)
    for position, result in enumerate(results):
        name = f"result {position}"
        _check_entry(name, result, ("image_id", "category_id", "score"), images)
        _check_keypoints(name, result, keypoints)
        if not math.isfinite(result["score"]):
            raise DataError(f"{name} has the score {result['score']}", "Give a finite score.")


def _check_entry(name: str, entry: Mapping[str, Any], keys: Sequence[str], images: set[int]) -> None:
    for key in keys:
        if key not in entry:
            raise DataError(f"{name} lacks {key!r}", "Give data in COCO's keypoint format.")
    if entry["image_id"] not in images:
        hint = "Give results for the images of the annotation file."
        raise DataError(f"{name} is for image {entry['image_id']}, which is not in the list of images", hint)


def _check_keypoints(name: str, entry: Mapping[str, Any], keypoints: int) -> None:
    values = np.asarray(entry.get("keypoints", ()), np.float64)
    if values.shape != (3 * keypoints,) or not np.isfinite(values).all():
        hint = "Give x, y and visibility or confidence for every keypoint."
        raise DataError(f"{name} has {values.size} keypoint values, expected {3 * keypoints} finite ones", hint)
