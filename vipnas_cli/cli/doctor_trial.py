"""Whether the bundled networks compute something sensible, alone and on a frame of the example clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vipnas_cli.bundle.pipelines import Bundle, Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.cli.doctor_packages import Finding
from vipnas_cli.cli.example import example_clip
from vipnas_cli.errors import VipnasError
from vipnas_cli.inference.crops import empty_heatmaps
from vipnas_cli.inference.estimator import Heatmaps, PoseEstimator
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import open_tracker
from vipnas_cli.latency.clock import sample_frames

RESTORE = "install vipnas again, or restore the folder weights"
# Heatmaps of training peak at 1, and the background is near 0; what lies far outside is no heatmap.
RANGE = (-0.5, 1.5)


def weight_findings() -> Iterator[Finding]:
    """Checksums, then trials; the first failure ends them."""
    try:
        bundle = open_bundle(bundled_weights())
        files = {network.path: network for pipeline in bundle.pipelines for network in pipeline.networks}
        for file in files.values():
            file.read()
        found = [bundle.detector, bundle.detector.verifier] if bundle.detector else []
        others = [file for file in found if file is not None]
        for other in others:
            other.read()
        yield Finding("ok", "weights", f"{len(files) + len(others)} files, checksums as stated")
        pipeline = max(bundle.pipelines, key=lambda found: len({network.path for network in found.networks}))
        yield _trial(pipeline)
        yield _find_people(bundle, pipeline)
    except VipnasError as error:
        yield Finding("fail", "weights", error.what, RESTORE)


def sensible(heatmaps: Heatmaps) -> bool:
    """Whether heatmaps (P, K, h, w) are finite and in the range of heatmaps."""
    return bool(np.isfinite(heatmaps).all() and heatmaps.min() >= RANGE[0] and heatmaps.max() <= RANGE[1])


def networks_are_sensible(estimator: PoseEstimator) -> bool:
    """Whether each network of a cycle gives heatmaps of the right shape and range for noise."""
    generator = np.random.default_rng(0)
    for position, plan in enumerate(estimator.schedule.plans):
        crops = generator.integers(0, 256, (1, plan.arch.height, plan.arch.width, 3), np.uint8)
        previous = empty_heatmaps(estimator, position, 1)
        heatmaps = estimator.estimate(position, crops, previous)
        if heatmaps.shape != previous.shape or not sensible(heatmaps):
            return False
    return True


def _trial(pipeline: Pipeline) -> Finding:
    what = f"networks of {pipeline.name}"
    if networks_are_sensible(OnnxEstimator(pipeline, RuntimeOptions(1))):
        return Finding("ok", what, "finite heatmaps in the expected range")
    return Finding("fail", what, "heatmaps that cannot be", "install another version of ONNX Runtime, and report it")


def _find_people(bundle: Bundle, pipeline: Pipeline) -> Finding:
    """The example clip's first frames, read and run as `vipnas run` does it."""
    what = "example clip"
    if not example_clip().is_file() or bundle.detector is None:
        return Finding("warn", what, "not there", "nothing; it only serves to try the networks")
    _, frames, _ = sample_frames(example_clip())
    propagator = open_tracker(pipeline, bundle.detector, RuntimeOptions(1)).propagator
    found = [propagator.step(frame.image, frame.index, frame.time_s).people for frame in frames]
    if any(len(people) for people in found):
        peak = max(float(people.person_scores.max(initial=0)) for people in found)
        return Finding("ok", what, f"read, people found, best score {peak:.2f}")
    return Finding("fail", what, "read, but nobody was found in it", RESTORE)
