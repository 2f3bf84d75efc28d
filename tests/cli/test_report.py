"""`vipnas report` and `run -o report.html`: pages of the bundled clip."""

import base64
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vipnas_cli.cli.info_job import describe
from vipnas_cli.cli.report.job import report_job
from vipnas_cli.cli.report.options import ReportOptions
from vipnas_cli.errors import VipnasError
from vipnas_cli.media.frames import FrameResult, VideoInfo
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.jsonl import read_jsonl
from vipnas_cli.results.kinds import output_named
from vipnas_cli.results.posetrack import PoseTrackSink
from vipnas_cli.results.table import CsvSink, read_table

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of less than a second with a page of its own."""
    path = tmp_path_factory.mktemp("report")
    outputs = ("-o", "out.mp4", "-o", "out.csv", "-o", "out.jsonl", "-o", "own.html", "--angles")
    command = [sys.executable, "-m", "vipnas_cli", "run", str(CLIP), "--end", "0.8", "--boxes", "whole", "--json"]
    found = subprocess.run([*command, *outputs], cwd=path, capture_output=True, text=True, check=True, timeout=120)
    (path / "summary.json").write_text(found.stdout)
    return path


def page_of(folder: Path, *names: str, out: str, pictures: bool = True, blur_faces: bool = False) -> str:
    """The page about some files."""
    results = tuple(Path(name) if ":" in name else folder / name for name in names)
    report_job(ReportOptions(results, folder / out, pictures, blur_faces))
    return (folder / out).read_text(encoding="utf-8")


def curves(page: str) -> list[dict]:
    parts = page.split('<script type="application/json">')[1:]
    return [json.loads(part.partition("</script>")[0]) for part in parts]


def test_a_run_writes_its_page_and_its_results_give_the_same_curves(folder: Path) -> None:
    own, later = (
        (folder / "own.html").read_text(encoding="utf-8"),
        page_of(folder, "out.jsonl", "out.mp4", "summary.json", out="later.html"),
    )
    summary = json.loads((folder / "summary.json").read_text())
    for page in (own, later):
        assert page.count("<img ") == 6
        for text in ("two_people.mp4", "640 × 360", "Joint angles", summary["pipeline"], "inference", "id 0"):
            assert text in page
    assert [chart["t"] for chart in curves(own)] == [chart["t"] for chart in curves(later)]
    assert len(curves(own)) > 4


def test_angles_stand_beside_the_first_result(folder: Path) -> None:
    lines = (folder / "out.angles.csv").read_text().splitlines()
    assert lines[0] == "frame,time_s,person,angle,side,degrees"
    assert len(lines) == 1 + 20 * 9


def test_a_video_beside_the_results_is_found_and_may_be_left_out(folder: Path) -> None:
    assert page_of(folder, "out.csv", out="found.html").count("<img ") == 6
    assert "<img " not in page_of(folder, "out.csv", out="bare.html", pictures=False)


@pytest.mark.parametrize("name", ["walk.wide.csv", "walk.posetrack.json", "wide:walk.csv"])
def test_a_video_beside_the_results_is_found_whatever_their_kind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    poses, output = read_jsonl(folder / "out.jsonl"), output_named(name)
    assert output is not None
    with output.open(poses.skeleton, poses.header) as sink:
        for frame in poses.frames:
            sink.write(frame)
    (tmp_path / "walk.mp4").write_bytes((folder / "out.mp4").read_bytes())
    page = page_of(Path(), name, out="found.html")
    assert page.count("<img ") == 6
    assert "on black" not in page
    # Elsewhere it belongs to one of several results by its name.
    (tmp_path / "other.csv").write_bytes((folder / "out.csv").read_bytes())
    (tmp_path / "videos").mkdir()
    (tmp_path / "walk.mp4").replace(tmp_path / "videos" / "walk.mp4")
    page = page_of(Path(), name, "other.csv", "videos/walk.mp4", out="both.html")
    assert page.count("<img ") == 6
    assert "on black" not in page


def shot(path: Path, grey: int) -> None:
    """A picture of one colour."""
    cv2.imwrite(str(path), np.full((48, 64, 3), grey, np.uint8))


def run_of(folder: Path, source: str, times: list[float]) -> None:
    """The table and the facts of a run over pictures: somebody on each of them."""
    step = Fraction(times[1]) if len(times) > 1 else Fraction(1, 25)
    points = np.full((1, 17, 2), 20, np.float32)
    someone = People(np.array([3]), np.array([[9, 9, 30, 30]], np.float32), points, np.full((1, 17), 0.9, np.float32))
    with CsvSink(folder / "poses.csv", COCO17, ResultHeader(source, 64, 48, step, "fast-192")) as sink:
        for index, time_s in enumerate(times):
            sink.write(FrameResult(index, index, time_s, someone, index == 0))


@pytest.mark.parametrize("name", ["photo.png", "poses.jpg", "other/photo.png"])
def test_a_photo_or_the_one_that_was_drawn_can_be_named(tmp_path: Path, name: str) -> None:
    run_of(tmp_path, "photo.png", [0.0])
    (tmp_path / "other").mkdir()
    shot(tmp_path / name, 90)
    page = page_of(tmp_path, "poses.csv", name, out="page.html")
    assert page.count("<img ") == 1
    assert "on black" not in page


@pytest.mark.parametrize("rate", [5, 25])
@pytest.mark.parametrize("named", [True, False])
def test_a_folder_of_frames_can_be_named_and_is_found_beside_its_results(
    tmp_path: Path, rate: int, named: bool
) -> None:
    run_of(tmp_path, "shots", [number / rate for number in range(12)])
    (tmp_path / "shots").mkdir()
    for number in range(12):
        shot(tmp_path / "shots" / f"{number}.png", 20 * number + 20)
    page = page_of(tmp_path, "poses.csv", *(["shots"] if named else []), out="page.html")
    found = re.findall(r'base64,([^"]+)" alt="Frame at ([0-9.]+) s"', page)
    assert len(found) == 6
    for text, time_s in found:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
        # The pose is drawn in a corner.
        assert abs(float(picture[40:, 50:].mean()) - 20 * round(float(time_s) * rate) - 20) < 4


def test_without_a_video_the_poses_are_on_black(folder: Path, tmp_path: Path) -> None:
    for name in ("out.csv", "out.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    page = page_of(tmp_path, "out.jsonl", out="alone.html")
    assert page.count("<img ") == 6
    assert "on black" in page
    # A table that has lost its facts does not know the size of the picture.
    assert "<img " not in page_of(tmp_path, "out.csv", out="table.html")


def test_another_video_than_that_of_the_poses_is_told_and_not_shown(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "another.mp4"
    with av.open(str(other), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        grey = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 114, np.uint8), format="rgb24")
        container.mux([*stream.encode(grey), *stream.encode(None)])
    page = page_of(folder, "out.csv", str(other), out="another_clip.html")
    assert "is not the video of" in page
    assert "on black" in page


def drawn(folder: Path, start_s: float, name: str, frames: int = 20, told: bool = False) -> None:
    """Grey pictures in place of a drawn video, brighter with each frame, and the table of a run from `start_s` on.

    Nobody is there on the first six frames; with `told` the video says that poses are drawn in.
    """
    info = VideoInfo(Path("long.mp4"), 64, 48, Fraction(1, 1000), Fraction(25))
    header = ResultHeader("long.mp4", 64, 48, info.time_base, "fast-192")
    points = np.full((1, 17, 2), 20, np.float32)
    someone = People(np.array([3]), np.array([[9, 9, 30, 30]], np.float32), points, np.full((1, 17), 0.9, np.float32))
    first = round(1000 * start_s)
    writer = VideoWriter(folder / name, info, None, start_s, drawn=told)
    with CsvSink(folder / "walk.csv", COCO17, header) as sink, writer as video:
        for index in range(20):
            pts = first + 40 * index
            people = someone if index > 5 else People.nobody(17)
            sink.write(FrameResult(index, pts, pts / 1000, people, False))
            if index < frames:
                video.write(np.full((48, 64, 3), 10 * index + 20, np.uint8), pts)


def shades(page: str, start_s: float) -> list[tuple[int, int]]:
    """The number of the frame that each caption means, and the one that is shown."""
    found = re.findall(r'base64,([^"]+)" alt="Frame at ([0-9.]+) s"', page)
    pictures = [av.open(io.BytesIO(base64.b64decode(text)), format="mjpeg") for text, _ in found]
    greys = [next(picture.decode(video=0)).to_ndarray(format="gray").mean() for picture in pictures]
    return [
        (round(25 * (float(time_s) - start_s)), round((grey - 20) / 10))
        for (_, time_s), grey in zip(found, greys, strict=True)
    ]


@pytest.mark.parametrize("start_s", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("name", ["walk.mp4", "long_pose.mp4", "drawn.mkv"])
def test_pictures_of_a_drawn_video_are_of_the_moments_they_tell(tmp_path: Path, name: str, start_s: float) -> None:
    drawn(tmp_path, start_s, name)
    page = page_of(tmp_path, "walk.csv", name, out="page.html")
    assert "<b>20</b><span>frames" in page
    pairs = shades(page, start_s)
    assert len(pairs) == 6
    assert all(told == shown for told, shown in pairs), pairs


@pytest.mark.parametrize("start_s", [0.0, 100.0])
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_a_drawn_video_with_the_name_of_its_source_is_not_taken_for_it(
    tmp_path: Path, ending: str, start_s: float
) -> None:
    drawn(tmp_path, start_s, f"long{ending}", told=True)
    table, facts = tmp_path / "walk.csv", tmp_path / "walk.csv-metadata.json"
    facts.write_text(facts.read_text().replace("long.mp4", f"long{ending}"))
    page = page_of(tmp_path, table.name, f"long{ending}", out="page.html")
    pairs = shades(page, start_s)
    assert len(pairs) == 6
    assert all(told == shown for told, shown in pairs), pairs
    blurred = page_of(tmp_path, table.name, f"long{ending}", out="blurred.html", blur_faces=True)
    assert "<img " not in blurred
    assert "poses are drawn in" in blurred


def test_pictures_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    drawn(tmp_path, 1.0, "walk.mp4", 12)
    page = page_of(tmp_path, "walk.csv", out="page.html")
    assert 0 < page.count("<img ") < 6
    assert "pictures are not in" in page
    assert "pictures are not in" in capsys.readouterr().err
    drawn(tmp_path, 1.0, "walk.mp4", 1)
    page = page_of(tmp_path, "walk.csv", out="black.html")
    assert page.count("<img ") == 6
    assert "walk.mp4 has no picture at the times of the results: the poses are shown on black" in page


def test_a_copy_of_the_source_keeps_its_times(tmp_path: Path) -> None:
    drawn(tmp_path, 0.0, "copy.mp4", 20)
    frames = read_table(tmp_path / "walk.csv").frames[8:]
    header = ResultHeader("long.mp4", 64, 48, Fraction(1, 1000), "fast-192")
    with CsvSink(tmp_path / "late.csv", COCO17, header) as sink:
        for index, each in enumerate(frames):
            sink.write(replace(each, frame_index=index))
    pairs = shades(page_of(tmp_path, "late.csv", "copy.mp4", out="page.html"), 0.0)
    assert len(pairs) == 6
    assert all(told == shown for told, shown in pairs), pairs


def test_ends_without_people_are_counted_by_the_summary_or_told(folder: Path, capsys: pytest.CaptureFixture) -> None:
    lines = (folder / "out.csv").read_text().splitlines()
    cut = [line for line in lines if line[0] == "f" or 2 <= int(line.split(",")[0]) < 17]
    (folder / "short.csv").write_text("\n".join(cut) + "\n")
    (folder / "short.csv-metadata.json").write_bytes((folder / "out.csv-metadata.json").read_bytes())
    (folder / "two_people_pose.mp4").write_bytes((folder / "out.mp4").read_bytes())
    for more in ("summary.json", "two_people_pose.mp4"):
        page = page_of(folder, "short.csv", more, out=f"{more}.html", pictures=False)
        assert "<b>20</b><span>frames" in page
        assert "75 %" in page
        assert "are not in the table" not in page + capsys.readouterr().err
    # Of the source the run may have taken a part.
    page = page_of(folder, "short.csv", str(CLIP), out="short.html")
    assert "<b>15</b><span>frames" in page
    assert "are not in the table" in page
    assert "are not in the table" in capsys.readouterr().err
    assert "are not in the table" not in page_of(folder, "out.jsonl", out="lines.html")


def test_frames_that_cannot_all_be_shown_are_told_with_the_name_of_their_file(tmp_path: Path) -> None:
    rows = [f"{index},{index / 25},0,nose,1,1,0.9" for index in (0, 1, 400_000_000)]
    (tmp_path / "gap.csv").write_text("\n".join(["frame,time_s,person,keypoint,x,y,score", *rows, ""]))
    with pytest.raises(VipnasError, match=r"(?m)gap\.csv .*399999998 frames are missing after frame 1$"):
        page_of(tmp_path, "gap.csv", out="page.html")
    assert not (tmp_path / "page.html").exists()


def test_keypoints_of_another_program_without_sides_have_a_page(tmp_path: Path) -> None:
    rows = [f"{frame},{frame / 25},0,{name},{frame},1,0.9" for frame in range(3) for name in ("head", "tail")]
    (tmp_path / "cat.csv").write_text("\n".join(["frame,time_s,person,keypoint,x,y,score", *rows, ""]))
    assert "Steadiness" in page_of(tmp_path, "cat.csv", out="page.html")


@pytest.mark.parametrize("name", ["posetrack:{}/walk.json", "{}/walk.json", "jsonl:{}/lines.txt"])
def test_a_kind_may_be_stated_before_a_name(folder: Path, tmp_path: Path, name: str) -> None:
    frames = read_jsonl(folder / "out.jsonl")
    (tmp_path / "lines.txt").write_bytes((folder / "out.jsonl").read_bytes())
    with PoseTrackSink(tmp_path / "walk.json", frames.skeleton, frames.header) as sink:
        for frame in frames.frames:
            sink.write(frame)
    named = Path(name.format(tmp_path))
    assert "<b>20</b><span>frames" in page_of(folder, str(named), out=f"{tmp_path}/page.html")
    layout = "JSON Lines" if "jsonl" in name else "PoseTrack18's layout"
    assert layout in describe(named).kind


def test_faces_that_cannot_be_blurred_are_not_shown(folder: Path) -> None:
    page = page_of(folder, "out.csv", "out.mp4", out="blurred.html", blur_faces=True)
    assert "cannot be blurred" in page
    assert "<img " not in page


@pytest.mark.parametrize(
    ("names", "out", "words"),
    [
        (["nothing.csv"], "x.html", "nothing.csv does not exist"),
        (["out.mp4"], "x.html", "no file of poses"),
        (["out.csv"], "page.pdf", "page.pdf is no name of a page"),
        (["out.csv"], "own.html", "exists already"),
        (["out.csv", "notes.txt"], "x.html", "notes.txt is no file of poses, no video and no picture"),
        (["out.csv", "broken.json"], "x.html", "broken.json is not"),
    ],
)
def test_what_cannot_be_shown_is_told(folder: Path, names: list[str], out: str, words: str) -> None:
    (folder / "broken.json").write_text('{"a": 1}')
    with pytest.raises(VipnasError) as told:
        page_of(folder, *names, out=out)
    assert words in told.value.what
    assert not (folder / "x.html").exists()
