"""What a word stands for, and that nothing of a stream's credentials is ever shown."""

from __future__ import annotations

import nturl2path
from pathlib import Path

import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.media.address import Stream, origin_of

HIDDEN = ("hunter2", "admin", "abc123")
ADDRESSES = [
    ("rtsp://admin:hunter2@cam.local:554/live/one.sdp", "rtsp://cam.local:554/live/one.sdp", "one"),
    ("rtsp://admin:hun/ter2@hunter2@cam/x", "rtsp://cam/x", "x"),
    ("rtsp://admin:a?hunter2@cam", "rtsp://cam", "cam"),
    ("http://cam/video.mp4?token=abc123", "http://cam/video.mp4?…", "video"),
    ("rtsp://cam/user=admin&password=hunter2&channel=1", "rtsp://cam/user=…&password=…&channel=1", "cam"),
    ("RTSP://admin:hunter2@[::1]:554/s", "rtsp://[::1]:554/s", "s"),
]


@pytest.mark.parametrize(("address", "shown", "stem"), ADDRESSES)
def test_streams_keep_their_address_and_hide_credentials(address: str, shown: str, stem: str) -> None:
    stream = origin_of(address)
    assert isinstance(stream, Stream)
    assert stream.address == address
    assert (str(stream), stream.name, stream.stem) == (shown, shown, stem)
    for text in (str(stream), repr(stream), f"{stream}", stream.stem):
        assert not any(secret in text for secret in HIDDEN)


def test_other_words_are_paths_or_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert origin_of("-") == Path("/dev/stdin")
    assert origin_of("0") == Stream("0")
    assert Stream("0").live
    assert str(Stream("0")) == "camera 0"
    Path("0").touch()
    assert origin_of("0") == Path("0")
    assert origin_of("file:///tmp/a%20b.mp4") == Path("/tmp/a b.mp4")
    assert origin_of("12:30.mp4") == Path("12:30.mp4")
    assert not Stream("http://machine/a.mp4").live


def test_addresses_of_files_are_paths_as_the_system_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert origin_of("file://localhost/tmp/a.mp4") == Path("/tmp/a.mp4")
    monkeypatch.setattr("urllib.request.url2pathname", nturl2path.url2pathname)
    assert origin_of("file:///C:/clips/a%20b.mp4") == Path(r"C:\clips\a b.mp4")


@pytest.mark.parametrize(
    "text", ["file://machine/share/a.mp4", "file://[::1/x", "s3://bucket/clip.mp4", "concat://a|b", "rtsp://[::1/x"]
)
def test_addresses_that_are_not_read(text: str) -> None:
    with pytest.raises(UsageError):
        origin_of(text)
