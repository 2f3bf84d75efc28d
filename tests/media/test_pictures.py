"""Pictures as inputs: one is a video of one frame, a folder of them a video in the order of their names."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vipnas_cli.errors import OutputError, UsageError, VideoError
from vipnas_cli.media.inputs import open_input
from vipnas_cli.media.picture_writer import PictureWriter
from vipnas_cli.media.pictures import LONGEST_STEP_S, PictureReader, read_picture
from vipnas_cli.media.writer import VideoWriter


def save(path: Path, value: int, size: tuple[int, int] = (48, 64)) -> Path:
    """An RGB picture whose red is `value`."""
    image = np.zeros((*size, 3), np.uint8)
    image[..., 2] = value
    cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(1, 13):
        save(tmp_path / f"shot{number}.png", number)
    (tmp_path / "notes.txt").touch()
    return tmp_path


def frames(path: Path, *part: float | None, **options: float) -> list[tuple[int, float, int]]:
    """Number, time and red of each frame."""
    with open_input(path, *part, **options) as reader:  # type: ignore[arg-type]
        return [(frame.index, frame.time_s, int(frame.image[0, 0, 0])) for frame in reader]


def test_a_folder_is_a_video(folder: Path) -> None:
    assert frames(folder, picture_rate=10) == [(n, pytest.approx(n / 10), n + 1) for n in range(12)]
    with open_input(folder) as reader:
        assert (reader.info.width, reader.info.height, reader.info.frames) == (64, 48, 12)
        assert reader.info.average_rate == 25


def test_a_part_of_a_folder(folder: Path) -> None:
    whole = frames(folder)
    assert frames(folder, 0.2, 0.4) == [(number - 5, *rest) for number, *rest in whole[5:10]]
    assert frames(folder, None, None, stride=5) == whole[::5]


def test_a_picture_is_a_video_of_one_frame(folder: Path) -> None:
    assert frames(folder / "shot7.png") == [(0, 0.0, 7)]


def test_a_damaged_picture_in_a_folder_is_passed_over_and_counted(folder: Path) -> None:
    (folder / "shot1.png").write_bytes(b"nothing")
    with open_input(folder) as reader:
        assert [frame.index for frame in reader] == list(range(1, 12))
        assert reader.damaged == 1


def test_what_no_video_can_be_made_of(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (folder / "alone.png").write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"alone\.png is not a readable image"):
        frames(folder / "alone.png")
    with pytest.raises(VideoError, match="without pictures"):
        frames(tmp_path_factory.mktemp("empty"))
    with pytest.raises(VideoError, match="has no picture from 9 s"):
        frames(folder, 9)
    for rate in (0, float("nan"), 1e9, 0.999 / LONGEST_STEP_S, -25):
        with pytest.raises(UsageError, match=r"pictures per second are not 0\.00001 to 1000"):
            frames(folder, picture_rate=rate)
    with pytest.raises(UsageError, match="--stride 2 of 1e-05 pictures per second"):
        frames(folder, picture_rate=1 / LONGEST_STEP_S, stride=2)


def test_pictures_that_last_longer_than_any_video_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipnas_cli.media.pictures.LONGEST_S", 12 * LONGEST_STEP_S)
    with pytest.raises(UsageError, match="12 pictures at 1e-05 per second are longer"):
        frames(folder, picture_rate=1 / LONGEST_STEP_S)


@pytest.mark.parametrize("period_s", [2, 3600, 86_400, LONGEST_STEP_S, 25_000 / 7])
def test_pictures_of_a_time_lapse_keep_their_times_in_a_video(folder: Path, period_s: float) -> None:
    times = [number * period_s for number in range(12)]
    for end in (".mp4", ".mkv"):
        # As it is typed: with few digits.
        with open_input(folder, picture_rate=float(f"{1 / period_s:.6g}")) as reader:
            with VideoWriter(folder / f"out{end}", reader.info) as writer:
                for frame in reader:
                    assert frame.time_s == pytest.approx(times[frame.index], rel=1e-5)
                    writer.write(frame.image, frame.pts)
            assert reader.info.duration_s == pytest.approx(12 * period_s, rel=1e-5)
        assert [time_s for _, time_s, _ in frames(folder / f"out{end}")] == pytest.approx(times, rel=1e-5)


def test_pictures_of_another_size_are_no_part_of_the_video(folder: Path) -> None:
    save(folder / "shot99.png", 1, (32, 32))
    with pytest.raises(VideoError, match=r"shot99\.png is 32 x 32, not 64 x 48"):
        frames(folder)


def test_a_picture_is_written_once_and_whole(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    target = folder / "out.png"
    with open_input(folder / "shot1.png") as one, PictureWriter(target, one.info) as writer:
        writer.write(image, 0)
        with pytest.raises(OutputError, match="more frames come"):
            writer.write(image, 1)
        assert not target.exists()
    assert np.array_equal(read_picture(target, VideoError, ""), image)
    with open_input(folder) as several, pytest.raises(OutputError, match="has more frames"):
        PictureWriter(folder / "other.png", several.info)
    with suppress(KeyboardInterrupt), PictureWriter(folder / "none.png", one.info):
        raise KeyboardInterrupt
    assert {path.name for path in folder.iterdir() if "shot" not in path.name} == {"notes.txt", "out.png"}


def test_frames_have_the_names_of_their_pictures(folder: Path) -> None:
    names = [f"shot{number}.png" for number in range(1, 13)]
    reader = PictureReader(folder, stride=2)
    assert [reader.names[frame.index] for frame in reader] == names[::2]
    assert PictureReader(folder, 1 / 25).names == tuple(names[1:])
    assert PictureReader(folder / "shot6.png").names == ("shot6.png",)


def test_pictures_behind_the_first_of_a_file_are_told(folder: Path) -> None:
    pages = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(3)]
    assert cv2.imwritemulti(str(folder / "pages.tif"), pages)
    with av.open(str(folder / "moving.apng"), "w") as container:
        stream = container.add_stream("apng", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for number, page in enumerate(pages):
            frame = av.VideoFrame.from_ndarray(page)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(frames(folder / "moving.apng")) == 3
    moving = (folder / "moving.apng").rename(folder / "moving.png")
    advice = {moving: "rename it .apng", folder / "pages.tif": "save each as a file of one folder"}
    for path, told in advice.items():
        with open_input(path) as reader:
            assert len(list(reader)) == 1
            assert reader.info.notes == (f"the picture has 3 frames, of which the first is read: {told} to read all",)
    with open_input(folder / "shot1.png") as reader:
        assert reader.info.notes == ()


def test_a_folder_named_like_a_picture_is_none_and_one_picture_is_told_as_one(tmp_path: Path) -> None:
    save(tmp_path / "shot1.png", 1)
    (tmp_path / "shot2.png").mkdir()
    with open_input(tmp_path) as reader:
        assert reader.info.notes == ("the folder holds one picture, which is a video of one frame",)
        assert len(list(reader)) == 1
