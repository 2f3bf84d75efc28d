"""The example clip is what its script renders."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from vipnas_cli.synthetic import render_clip

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def script(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("make_clip")


@pytest.fixture(scope="module")
def truth() -> list[dict]:
    return [json.loads(line) for line in (EXAMPLES / "two_people_truth.jsonl").read_text(encoding="utf-8").splitlines()]


def test_clip_and_truth_have_the_same_frames(script, truth):
    with av.open(str(EXAMPLES / "two_people.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (script.OPTIONS.height, script.OPTIONS.width)
        times = [frame.time for frame in container.decode(stream)]
    np.testing.assert_allclose(times, [line["time_s"] for line in truth], atol=1e-6)
    assert [line["frame"] for line in truth] == list(range(script.OPTIONS.frames))
    assert (EXAMPLES / "two_people.mp4").stat().st_size < 1_500_000


def test_the_first_frames_are_rendered_anew(script, truth):
    with av.open(str(EXAMPLES / "two_people.mp4")) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in itertools.islice(container.decode(video=0), 2)]
    frames = itertools.islice(render_clip(np.random.default_rng(script.SEED), script.OPTIONS), 2)
    for number, (frame, picture, line) in enumerate(zip(frames, pictures, truth, strict=False)):
        assert np.abs(frame.image.astype(int) - picture).mean() < 5
        again = json.loads(script.truth_line(number, frame))
        assert [p["id"] for p in again["people"]] == [p["id"] for p in line["people"]]
        for fresh, kept in zip(again["people"], line["people"], strict=True):
            np.testing.assert_allclose(fresh["box"], kept["box"], atol=1.0)
            np.testing.assert_allclose(fresh["keypoints"], kept["keypoints"], atol=0.2)


def test_truth_shows_a_crossing_with_somebody_hidden(truth):
    def middle(person: dict) -> float:
        return person["keypoints"][11][0] + person["keypoints"][12][0]

    first, last = ({p["id"]: middle(p) for p in truth[i]["people"]} for i in (0, -1))
    assert first[1] < first[2]
    assert last[1] > last[2]
    seen = [sum(v == 2 for _, _, v in p["keypoints"]) for line in truth for p in line["people"] if p["id"] == 2]
    assert min(seen) <= 5
    heights = np.array([(p["box"][3] - p["box"][1]) / 360 for line in truth for p in line["people"]])
    assert 0.45 < np.median(heights) < 0.75
