"""Pictures that are too large are refused before they fill the memory, and fewer of large ones wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vipnas_cli.errors import UsageError, VideoError
from vipnas_cli.media.limits import LIMIT_NAME, WAITING_BYTES, max_pixels, waiting
from vipnas_cli.media.reader import open_video


def test_a_picture_bomb_is_refused_and_the_limit_told(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(size=(640, 480))
    monkeypatch.setenv(LIMIT_NAME, "100000")
    with pytest.raises(VideoError, match="640 x 480, more than 100000 pixels") as told:
        open_video(clip)
    assert f"{LIMIT_NAME}=307200" in told.value.hint
    monkeypatch.setenv(LIMIT_NAME, "307200")
    with open_video(clip) as reader:
        assert len(list(reader)) == 20


def test_a_picture_that_grows_beyond_the_limit_is_damage(
    make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = make_clip("small.ts"), make_clip("large.ts", size=(640, 480))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    monkeypatch.setenv(LIMIT_NAME, "100000")
    with open_video(both) as reader:
        assert {frame.image.shape for frame in reader} == {(48, 64, 3)}
        assert reader.damaged > 0


@pytest.mark.parametrize("text", ["many", "-1", "0", "1e9", "9" * 50, "٣"])
def test_a_limit_that_is_no_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_NAME, text)
    with pytest.raises(UsageError, match=LIMIT_NAME):
        max_pixels()


def test_bytes_that_wait_are_bounded() -> None:
    assert waiting(1280 * 720 * 3, 4) == 4
    assert waiting(WAITING_BYTES, 4) == waiting(10 * WAITING_BYTES, 4) == 1
    assert all(waiting(size, 4) * size <= WAITING_BYTES for size in range(1, WAITING_BYTES, 1_234_567))
