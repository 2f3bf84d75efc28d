"""Laws of the video with poses: drawn on a copy, the times of the results, playable whatever happened."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.errors import OutputError
from vipnas_cli.media.frames import FrameResult, VideoInfo
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17

TIME_BASE = Fraction(1, 90_000)


def result(index: int, people: int) -> FrameResult:
    rng = np.random.default_rng(index)
    points = rng.uniform(-20, 640, (people, 17, 2)).astype(np.float32)
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    scores = rng.uniform(0, 1, (people, 17)).astype(np.float32)
    pts = 3003 * index
    return FrameResult(index, pts, float(pts * TIME_BASE), People(np.arange(people), boxes, points, scores), False)


def test_overlay_draws_on_a_copy_with_the_times_of_the_results(tmp_path: Path, contents) -> None:
    info = VideoInfo(Path("made.mp4"), 640, 480, TIME_BASE, Fraction(30_000, 1001))
    image = np.full((480, 640, 3), 90, np.uint8)
    with OverlaySink(
        VideoWriter(tmp_path / "out.mp4", info), Painter(COCO17, caption=lambda r: f"frame {r.frame_index}")
    ) as sink:
        for index in range(3):
            sink.write(result(index, 2), image)
        with pytest.raises(OutputError, match="needs the picture"):
            sink.write(result(3, 2), None)
    assert (image == 90).all()
    after = contents(tmp_path / "out.mp4")
    assert after.times == tuple(3003 * index * TIME_BASE for index in range(3))
    assert all((np.abs(picture.astype(int) - 90) > 60).sum() > 500 for picture in after.images)


def test_an_interrupted_overlay_can_be_played(tmp_path: Path) -> None:
    info = VideoInfo(Path("made.mp4"), 640, 480, TIME_BASE, Fraction(30_000, 1001))

    def stop_after_one() -> None:
        with OverlaySink(VideoWriter(tmp_path / "out.mp4", info), Painter(COCO17)) as sink:
            sink.write(result(0, 1), np.zeros((480, 640, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_one()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1
