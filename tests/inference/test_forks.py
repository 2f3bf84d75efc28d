"""What was opened before a fork: its child computes the same, or is told why it cannot; it never hangs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no forks")
# Seconds after which a process hangs.
PATIENCE_S = 60
OPENED = f"""
import os, signal, warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np
from vipnas_cli import PoseTracker
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.inference.onnx import OnnxEstimator, OnnxVerifier, RuntimeOptions

# A child that hangs is ended by an alarm, of which its parent tells.
os.register_at_fork(after_in_child=lambda: signal.alarm({PATIENCE_S // 2}))
# Python 3.12 warns of forks beside threads.
warnings.simplefilter("ignore", DeprecationWarning)
bundle, generator = open_bundle(bundled_weights()), np.random.default_rng(0)
arch, verifier = bundle.pipelines[0].schedule.plan(0).arch, bundle.detector.verifier
people = generator.integers(0, 256, (3, arch.height, arch.width, 3), np.uint8)
boxes = generator.integers(0, 256, (3, verifier.height, verifier.width, 3), np.uint8)
"""
SIDE_BY_SIDE = """
runtime = RuntimeOptions(1, "cpu", side_by_side=3)
poses, looks = OnnxEstimator(bundle.pipelines[0], runtime), OnnxVerifier(verifier, runtime)

def found():
    return poses.estimate(0, people, None), *looks.verify(boxes)

before = found()
child = os.fork()
if child == 0:
    os._exit(0 if all(map(np.array_equal, before, found())) else 1)
print("child", os.waitpid(child, 0)[1], all(map(np.array_equal, before, found())))
"""
WHOLE_TRACKER = """
frame = generator.integers(0, 256, (96, 128, 3), np.uint8)
tracker = PoseTracker(threads=THREADS, provider="cpu", boxes=BOXES)
tracker(frame, 0.0)

def seen():
    tracker.reset()
    return len(tracker(frame, 0.0))

with ProcessPoolExecutor(1, get_context("fork")) as workers:
    error = workers.submit(seen).exception()
print(type(error).__name__, error, "hint:", getattr(error, "hint", None))
"""


def told(script: str) -> str:
    """What a Python program prints that ends in time."""
    done = subprocess.run(
        [sys.executable, "-c", OPENED + script], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fork_computes_people_side_by_side_in_threads_of_its_own() -> None:
    assert told(SIDE_BY_SIDE) == "child 0 True\n"


@pytest.mark.parametrize("boxes", ["None", "'whole'"])
def test_a_worker_takes_a_tracker_of_one_thread_and_is_told_why_it_cannot_take_another(boxes: str) -> None:
    one, two = (told(WHOLE_TRACKER.replace("THREADS", count).replace("BOXES", boxes)) for count in "12")
    assert one == "NoneType None hint: None\n"
    assert two.startswith("UsageError networks with several threads")
    assert "hint: open the tracker in the worker process" in two
