"""Laws of writing: count, times, rate and sound survive; what is interrupted can be played; failures come up front."""

import os
import signal
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vipnas_cli.errors import OutputError
from vipnas_cli.media.audio import AudioTrack
from vipnas_cli.media.frames import UNSPECIFIED, ColorTags, VideoInfo
from vipnas_cli.media.inputs import open_input
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.writer import VideoWriter

NTSC = Fraction(30000, 1001)
VARIABLE_PTS = [0, 3000, 4500, 13500, 15000, 30000, 31500, 40500]


def copy(source: Path, target: Path, start_s: float | None = None, end_s: float | None = None) -> VideoWriter:
    with (
        open_video(source, start_s, end_s) as reader,
        VideoWriter(target, reader.info, reader.sound, start_s, end_s) as writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.pts)
    return writer


def info(width: int = 64, height: int = 48, **changes) -> VideoInfo:
    return VideoInfo(Path("made.mp4"), width, height, Fraction(1, 25), Fraction(25), **changes)


def grey(width: int = 64, height: int = 48, value: int = 100) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("pts", "time_base", "rate"),
    [
        (range(20), Fraction(1, 25), Fraction(25)),
        (range(20), 1 / NTSC, NTSC),
        (VARIABLE_PTS, Fraction(1, 90_000), Fraction(16)),
        (range(5, 20), Fraction(1, 25), Fraction(25)),
        (range(1, 20), 1 / NTSC, NTSC),
        ([7], Fraction(1, 25), Fraction(25)),
    ],
)
def test_count_times_and_rate_survive(make_clip, contents, tmp_path: Path, suffix: str, pts, time_base, rate) -> None:
    source = make_clip(pts=pts, time_base=time_base, rate=rate)
    copy(source, tmp_path / f"copy{suffix}")
    before, after = contents(source), contents(tmp_path / f"copy{suffix}")
    if suffix == ".mkv":
        assert [float(time) for time in after.times] == pytest.approx([float(time) for time in before.times], abs=6e-4)
    else:
        assert after.times == before.times
    if pts == VARIABLE_PTS:  # what headers say there depends on how encoders reorder frames
        assert float(after.average_rate) == pytest.approx(float(before.average_rate), rel=0.1)
    elif suffix == ".mkv":
        assert float(after.average_rate) == pytest.approx(float(before.average_rate), rel=1e-3)
    else:
        assert after.average_rate == before.average_rate


def test_pictures_survive(make_clip, contents, tmp_path: Path) -> None:
    source = make_clip(size=(96, 64))
    copy(source, tmp_path / "copy.mp4")
    before, after = contents(source).images, contents(tmp_path / "copy.mp4").images
    errors = [np.abs(a.astype(int) - b).mean() for a, b in zip(before, after, strict=True)]
    assert max(errors) < 3


@pytest.mark.parametrize("matrix", [1, 2, 6, 9])
def test_colors_are_written_as_tagged(tmp_path: Path, matrix: int) -> None:
    path = tmp_path / "color.mp4"
    image = grey(64, 64)
    image[:] = (200, 60, 40)
    with VideoWriter(path, info(64, 64, color=ColorTags(matrix, 1, 1)), crf=5) as writer:
        writer.write(image, 0)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == matrix
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - image).max() <= 6


@pytest.mark.parametrize("kind", ["pictures", "libx264rgb", "gif", "ffv1"])
@pytest.mark.parametrize(("height", "matrix"), [(718, 6), (720, 1)])
def test_colors_of_rgb_sources_are_those_that_players_show(tmp_path: Path, kind: str, height: int, matrix: int) -> None:
    source, target = rgb_source(tmp_path, kind, height), tmp_path / "out.mp4"
    with open_input(source) as reader, VideoWriter(target, reader.info, crf=5) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
            image = frame.image
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == matrix
        # On the mean: GIF has few colours, of which it mixes others.
        assert np.abs((frame.to_ndarray(format="rgb24").astype(int) - image).mean((0, 1))).max() <= 4


def rgb_source(folder: Path, kind: str, height: int) -> Path:
    """Two pictures without YUV: a folder of PNGs, or a film of a codec."""
    image = grey(32, height)
    image[:] = (200, 60, 40)
    if kind == "pictures":
        for number in range(2):
            cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
        return folder
    path = folder / {"gif": "made.gif", "ffv1": "made.mkv"}.get(kind, "made.mp4")
    form = {"gif": "rgb8", "ffv1": "bgr0"}.get(kind, "rgb24")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind, 25)
        stream.width, stream.height, stream.pix_fmt = 32, height, form
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(image).reformat(format=form)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_what_names_no_matrix_keeps_its_values(make_clip, tmp_path: Path) -> None:
    """Players guess the matrix of a source and that of its copy alike."""
    source = make_clip(size=(64, 720), pts=range(2))
    copy(source, tmp_path / "copy.mp4")
    with av.open(str(source)) as before, av.open(str(tmp_path / "copy.mp4")) as after:
        one, other = next(before.decode(video=0)), next(after.decode(video=0))
        assert one.colorspace == other.colorspace == UNSPECIFIED
        assert np.abs(one.to_ndarray().astype(int) - other.to_ndarray()).mean() < 2


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
@pytest.mark.parametrize("drawn", [True, False])
def test_a_drawn_video_says_so_and_a_copy_of_it_does_not(tmp_path: Path, suffix: str, drawn: bool) -> None:
    with VideoWriter(tmp_path / f"made{suffix}", info(), drawn=drawn) as writer:
        writer.write(grey(), 0)
    with open_video(tmp_path / f"made{suffix}") as reader:
        assert reader.info.drawn is drawn
        assert any("drawn in" in note for note in reader.info.notes) is drawn
    copy(tmp_path / f"made{suffix}", tmp_path / f"copy{suffix}")
    with open_video(tmp_path / f"copy{suffix}") as reader:
        assert not reader.info.drawn


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (61, 45), (1, 1)])
def test_odd_sizes_repeat_their_border(contents, tmp_path: Path, width: int, height: int) -> None:
    with VideoWriter(tmp_path / "odd.mp4", info(width, height)) as writer:
        writer.write(grey(width, height), 0)
    image = contents(tmp_path / "odd.mp4").images[0]
    assert image.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(image.astype(int) - 100).max() <= 4


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("source_suffix", [".mov", ".mkv"])
def test_sound_is_copied(make_clip, contents, tmp_path: Path, suffix: str, source_suffix: str) -> None:
    source = make_clip(f"source{source_suffix}", audio=("aac", "aac"))
    writer = copy(source, tmp_path / f"copy{suffix}")
    assert writer.audio == (AudioTrack("aac", "aac"),) * 2
    assert float(contents(tmp_path / f"copy{suffix}").times[0]) == 0
    before, after = contents(source).audio, contents(tmp_path / f"copy{suffix}").audio
    assert len(after) == 2
    for (codec, count, first, end), (codec_after, count_after, first_after, end_after) in zip(
        before, after, strict=True
    ):
        # Matroska would delay the pictures for a packet before time zero that comes from another container.
        lost = int(suffix == ".mkv" and source_suffix == ".mov" and first < 0)
        assert (codec_after, count_after) == (codec, count - lost)
        assert end_after == pytest.approx(end, abs=0.015 if suffix == ".mkv" else 1e-3)
        assert first_after == pytest.approx(max(first, 0) if lost else first, abs=1e-3)


@pytest.mark.parametrize(
    ("source_name", "suffix", "codec"),
    [
        ("source.mkv", ".mp4", "aac"),
        ("source.mov", ".mp4", "aac"),
        ("source.mkv", ".mov", "pcm_s16le"),
        ("source.mov", ".mkv", "pcm_s16le"),
    ],
)
def test_sound_that_players_would_refuse_becomes_aac(
    make_clip, contents, tmp_path: Path, source_name: str, suffix: str, codec: str
) -> None:
    source = make_clip(source_name, audio=("pcm_s16le",))
    writer = copy(source, tmp_path / f"copy{suffix}")
    assert writer.audio == (AudioTrack("pcm_s16le", codec),)
    after = contents(tmp_path / f"copy{suffix}")
    assert after.audio[0][0] == codec
    assert after.audio[0][3] == pytest.approx(0.8, abs=0.03)
    assert len(after.times) == 20


def test_encoded_sound_is_the_same_sound_at_the_same_time(tmp_path: Path) -> None:
    source = tmp_path / "beep.mkv"
    wave = np.zeros(96_000, np.int16)
    wave[48_000:52_800] = 12_000 * np.sin(np.arange(4800) / 10)
    with av.open(str(source), "w") as container:
        pictures, track = container.add_stream("libx264", 25), container.add_stream("pcm_s16le", 48_000)
        pictures.width, pictures.height = 64, 48
        track.codec_context.layout = "mono"
        for index in range(50):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(grey())))
            samples = av.AudioFrame.from_ndarray(wave[None, 1920 * index : 1920 * (index + 1)], "s16", "mono")
            samples.sample_rate, samples.pts, samples.time_base = 48_000, 1920 * index, Fraction(1, 48_000)
            container.mux(track.encode(samples))
        container.mux(pictures.encode(None))
    copy(source, tmp_path / "whole.mp4")
    copy(source, tmp_path / "late.mp4", start_s=0.6)
    assert _beep(tmp_path / "whole.mp4") == pytest.approx(1.0, abs=0.005)
    assert _beep(tmp_path / "late.mp4") == pytest.approx(0.4, abs=0.005)


def _beep(path: Path) -> float:
    """When the sound of a file begins to be loud."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.15)
            if len(loud):
                return float(frame.time or 0) + loud[0] / frame.sample_rate
    raise AssertionError("no sound")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_piece_begins_at_zero_with_its_sound(make_clip, contents, which_frame, tmp_path: Path, suffix: str) -> None:
    source = make_clip(pts=range(24), audio=("aac",))
    copy(source, tmp_path / f"piece{suffix}", start_s=0.24, end_s=0.72)
    after = contents(tmp_path / f"piece{suffix}")
    assert after.times[0] == 0
    assert [which_frame(image) for image in after.images] == list(range(6, 18))
    _, _, first, end = after.audio[0]
    assert 0 <= first < 0.03
    assert end == pytest.approx(0.48, abs=0.03)


def test_sound_from_a_transport_stream(make_clip, contents, tmp_path: Path) -> None:
    source = make_clip("clip.ts", audio=("aac",))
    copy(source, tmp_path / "copy.mp4")
    before, after = contents(source), contents(tmp_path / "copy.mp4")
    assert after.audio[0][1] == before.audio[0][1]
    shift = float(before.times[0] - after.times[0])
    assert before.audio[0][2] - after.audio[0][2] == pytest.approx(shift, abs=1e-3)


def test_sound_and_pictures_are_interleaved(make_clip, tmp_path: Path) -> None:
    source = make_clip(pts=range(24), time_base=Fraction(1, 4), rate=Fraction(4), audio=("aac",))
    copy(source, tmp_path / "copy.mkv")
    with av.open(str(tmp_path / "copy.mkv")) as container:
        latest = {"video": 0.0, "audio": 0.0}
        for packet in container.demux():
            if packet.dts is not None:
                latest[packet.stream.type] = float(packet.dts * packet.time_base)
                assert abs(latest["video"] - latest["audio"]) < 1.5


def test_the_index_comes_first(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "fast.mp4", info()) as writer:
        writer.write(grey(), 0)
    content = (tmp_path / "fast.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_the_final_name_appears_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "whole.mp4"
    with VideoWriter(path, info()) as writer:
        writer.write(grey(), 0)
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["whole.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_what_is_interrupted_can_be_played(
    make_clip, contents, tmp_path: Path, suffix: str, failure: type[BaseException]
) -> None:
    source, path = make_clip(pts=range(24), audio=("aac",)), tmp_path / f"part{suffix}"

    def write_ten() -> None:
        with open_video(source) as reader, VideoWriter(path, reader.info, reader.sound) as writer:
            for frame in reader:
                if frame.index == 10:
                    raise failure
                writer.write(frame.image, frame.pts)

    with pytest.raises(failure):
        write_ten()
    after = contents(path)
    assert after.times == tuple(Fraction(i, 25) for i in range(10))
    assert after.audio[0][3] == pytest.approx(0.4, abs=0.05)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("pictures", [0, 1, 10])
def test_what_is_abandoned_never_has_its_name(make_clip, tmp_path: Path, pictures: int) -> None:
    source, target = make_clip(pts=range(24), audio=("aac",)), tmp_path / "out" / "part.mp4"
    target.parent.mkdir()
    with open_video(source) as reader, VideoWriter(target, reader.info, reader.sound) as writer:
        for frame in list(reader)[:pictures]:
            writer.write(frame.image, frame.pts)
        writer.abandon()
    assert not list(target.parent.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
@pytest.mark.parametrize("delay_s", [0.02, 0.05, 0.09])
def test_ctrl_c_while_encoding_loses_no_frame(contents, tmp_path: Path, delay_s: float) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 240, 320, 3), np.uint8)
    written = []

    def write_until_stopped() -> None:
        with VideoWriter(tmp_path / "part.mp4", info(320, 240)) as writer:
            writer.write(images[0], 0)
            written.append(0)
            signal.setitimer(signal.ITIMER_REAL, delay_s)
            for index in range(1, 10_000):
                writer.write(images[index % 4], index)
                written.append(index)

    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)  # a timer that acts as Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            write_until_stopped()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    after = contents(tmp_path / "part.mp4")
    # The picture that was on its way may be in or not.
    assert len(written) <= len(after.times) <= len(written) + 1
    assert after.times == tuple(Fraction(index, 25) for index in range(len(after.times)))


def test_an_exception_before_the_first_picture_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "none.mp4", info()):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_closing_without_a_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no picture was written to .*none\.mp4"):
        VideoWriter(tmp_path / "none.mp4", info()).close()
    assert not list(tmp_path.iterdir())


def test_unknown_containers_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"out\.gif") as caught:
        VideoWriter(tmp_path / "out.gif", info())
    assert ".mp4, .m4v, .mov, .mkv" in caught.value.hint


def test_missing_folder_fails_up_front(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        VideoWriter(tmp_path / "nowhere" / "out.mp4", info())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_fails_up_front(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="nothing can be written"):
        VideoWriter(tmp_path / "out.mp4", info())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that refuses files even of root")
def test_a_folder_that_takes_no_files_fails_up_front() -> None:
    with pytest.raises(OutputError, match="nothing can be written"):
        VideoWriter("/proc/self/out.mp4", info())


def test_wrong_pictures_and_times_are_refused(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", info()) as writer:
        writer.write(grey(), 3)
        with pytest.raises(OutputError, match=r"\(48, 64, 3\), not uint8 \(50, 64, 3\)"):
            writer.write(grey(64, 50), 4)
        with pytest.raises(OutputError, match="not float64"):
            writer.write(grey().astype(float), 4)
        with pytest.raises(OutputError, match="pts 3 after 3"):
            writer.write(grey(), 3)


def test_a_failing_disk_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", info())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_add", full)

    def write_ten() -> None:
        with writer:
            for index in range(10):
                writer.write(grey(), index)

    with pytest.raises(OutputError, match=r"out\.mp4 cannot be written: No space left"):
        write_ten()


def test_the_picture_stays_the_callers_own(contents, tmp_path: Path) -> None:
    image = grey()
    with VideoWriter(tmp_path / "out.mp4", info()) as writer:
        for index in range(10):
            image[:] = 100
            writer.write(image, index)
            image[:] = 0
    assert min(picture.min() for picture in contents(tmp_path / "out.mp4").images) > 90


def test_views_of_pictures_are_fine(contents, tmp_path: Path) -> None:
    image = grey()
    image[:, :32] = 200
    with VideoWriter(tmp_path / "out.mp4", info()) as writer:
        writer.write(image[:, ::-1], 0)
    assert contents(tmp_path / "out.mp4").images[0][24, 60, 0] > 190


def test_a_build_without_h264_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", set())
    with pytest.raises(OutputError, match=r"cannot encode H\.264"):
        VideoWriter(tmp_path / "out.mp4", info())
    assert not list(tmp_path.iterdir())


def test_pixel_aspect_survives(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", info(pixel_aspect=Fraction(4, 3))) as writer:
        writer.write(grey(), 0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_rotated_source_is_written_upright(make_clip: Callable[..., Path], contents, tmp_path: Path) -> None:
    copy(make_clip(turn=(-90, False)), tmp_path / "upright.mp4")
    image = contents(tmp_path / "upright.mp4").images[0].astype(int)
    assert image.shape == (64, 48, 3)
    assert image[8, 40, 0] - image[8, 40, 1] > 100
    with av.open(str(tmp_path / "upright.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0
