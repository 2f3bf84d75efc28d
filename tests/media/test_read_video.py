"""What `read_video` is given: values that no video has are told in a sentence, whatever is read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vipnas_cli import read_video
from vipnas_cli.errors import UsageError

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"


@pytest.fixture(params=["video", "pictures"])
def readable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A video, and a folder of two pictures."""
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
    return CLIP if request.param == "video" else tmp_path


@pytest.mark.parametrize(
    "rate", ["30", None, True, -3, 0, float("nan"), float("inf"), -float("inf"), pytest.param(10**400, id="huge")]
)
def test_a_rate_that_is_none_is_refused(readable: Path, rate: Any) -> None:
    with pytest.raises(UsageError, match="picture_rate is") as caught:
        read_video(readable, picture_rate=rate)
    assert caught.value.hint


@pytest.mark.parametrize("rate", [10, 10.0, Fraction(10), np.float32(10), np.int64(10)])
def test_any_number_is_a_rate(readable: Path, rate: Any) -> None:
    with read_video(readable, picture_rate=rate, end_s=0.15) as frames:
        assert frames.info.average_rate == (25 if readable == CLIP else 10)


@pytest.mark.parametrize("live", ["yes", 1, 0.0])
def test_live_is_a_truth_value(readable: Path, live: Any) -> None:
    with pytest.raises(UsageError, match="live is"):
        read_video(readable, live=live)


def test_an_infinite_end_is_the_end(readable: Path) -> None:
    start_s = 6.5 if readable == CLIP else 0.04
    with read_video(readable, start_s) as frames, read_video(readable, start_s, float("inf")) as same:
        assert [frame.time_s for frame in same] == [frame.time_s for frame in frames]
        assert same.info == frames.info
    for end_s in (float("nan"), -float("inf")):
        with pytest.raises(UsageError, match="no video from"):
            read_video(readable, start_s, end_s)


def test_no_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the name of the input is empty"):
        read_video("")
