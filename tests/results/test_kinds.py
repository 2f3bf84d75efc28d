"""Laws of all kinds of result files: which one a name means, whole or not there, nothing lost between them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import vipnas_cli.results.kinds as all_kinds
from vipnas_cli.cli.app import app
from vipnas_cli.errors import DataError, InputError, OutputError, UsageError
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.kinds import KINDS, Kind, check_stdout, output_named, source_named
from vipnas_cli.results.sink import FACTS_END

HEADER = ResultHeader("a clip, ü #1.mp4", 640, 480, Fraction(1, 90_000), "fast-60fps", "low")
# Results with a row per frame, and how many lines stand before the first.
TABLES = (("out.trc/out_person5.trc", 6), ("out.dlc.csv", 4))
READABLE = [kind for kind in KINDS if kind.read]


@pytest.fixture(autouse=True)
def _extras(request: pytest.FixtureRequest) -> None:
    """Skips what needs a package that is not there."""
    for kind in getattr(request.node, "callspec", SimpleNamespace(params={})).params.values():
        for package in kind.needs if isinstance(kind, Kind) else ():
            pytest.importorskip(package)


def frames(counts: tuple[int, ...] = (2, 0, 1, 3)) -> list[FrameResult]:
    found = []
    for index, count in enumerate(counts):
        rng = np.random.default_rng(index)
        points = rng.uniform(-20, 640, (count, 17, 2)).astype(np.float32)
        boxes = np.concatenate([points.min(axis=1) - 3.3, points.max(axis=1) + 4.4], axis=1)
        people = People(np.arange(count) + 5, boxes, points, rng.uniform(0, 1, (count, 17)).astype(np.float32))
        pts = 3003 * index
        found.append(FrameResult(index, pts, float(pts * HEADER.time_base), people, index % 4 == 0))
    return found


def written(path: Path | str, counts: tuple[int, ...] = (2, 0, 1, 3)) -> Path:
    output = output_named(path)
    assert output is not None
    with output.open(COCO17, HEADER) as sink:
        for frame in frames(counts):
            sink.write(frame, None)
    return Path(path)


def convert(*arguments: Path | str) -> str:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == 0, (result.exception, result.output)
    return result.stderr


def content(path: Path) -> dict[str, bytes]:
    """The files of a result by name, also of those in a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return {file.name: file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_names_say_the_kind(kind: Kind) -> None:
    for name, path in ((f"a.b{kind.end}", f"a.b{kind.end}"), (f"{kind.name}:c:x.csv", "c:x.csv")):
        output = output_named(name)
        assert output is not None
        assert (output.kind, output.path) == (kind, Path(path))
    if kind.text:
        assert output_named(f"{kind.name}:-") == all_kinds.Output(kind, Path("-"))
        assert output_named(f"{kind.name}:/dev/stdout") == all_kinds.Output(kind, Path("-"))
    else:
        with pytest.raises(UsageError, match="cannot go to stdout"):
            output_named(f"{kind.name}:-")


@pytest.mark.parametrize("command", ["run", "convert"])
def test_help_and_manual_name_every_kind(command: str) -> None:
    options = {parameter.name: parameter for parameter in typer.main.get_command(app).commands[command].params}
    manual = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for kind in KINDS:
        assert f"{kind.end} " in f"{options['out'].help} ".replace(";", " ")
        assert f"| `{kind.name}` | `{kind.end}` |" in manual


def test_other_names_say_nothing() -> None:
    assert [output_named(name) for name in ("clip.gif", "c:\\clip", "csv", "x/")] == [None] * 4
    dash = output_named("-")
    assert dash is not None
    assert dash.kind.name == "csv"
    with pytest.raises(UsageError, match="both want stdout"):
        check_stdout([dash, dash], json=False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_whole_after_an_interruption_and_nothing_before_the_first_frame(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / f"clip{kind.end}"
    output = output_named(path)
    assert output is not None
    with pytest.raises(KeyboardInterrupt), output.open(COCO17, HEADER):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())

    def interrupted() -> None:
        with output.open(COCO17, HEADER) as sink:
            for frame in frames((2, 0)):
                sink.write(frame, None)
            assert not path.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(tmp_path.iterdir()) == sorted(output.files)
    after = content(path)
    if kind.name == "dlc-h5":  # holds the time of its writing
        return
    (tmp_path / "other").mkdir()
    assert content(written(tmp_path / "other" / path.name, (2, 0))) == after


@pytest.mark.parametrize("to", READABLE, ids=lambda kind: kind.name)
@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.name)
def test_there_and_back_loses_nothing_that_both_hold(tmp_path: Path, kind: Kind, to: Kind) -> None:
    first = written(tmp_path / f"first{kind.end}")
    if kind.name == "parquet":  # has more digits than any other
        first = tmp_path / "again.parquet"
        convert(written(tmp_path / "text.csv"), "-o", first)
    told = convert(first, "-o", tmp_path / f"middle{to.end}")
    lost = kind.holds - to.holds | ({"all keypoints"} if to.keypoints and kind is not to else set())
    assert ("does not hold" in told) == bool(lost)
    assert all(what in told for what in lost)
    convert(tmp_path / f"middle{to.end}", "-o", tmp_path / f"last{kind.end}")
    if not lost:
        assert content(tmp_path / f"last{kind.end}") == {f"last{kind.end}": first.read_bytes()}
    elif not to.keypoints:
        assert kind.read is not None
        before, after = kind.read(first), kind.read(tmp_path / f"last{kind.end}")
        seen = [frame for frame in before.frames if len(frame.people)]
        assert (after.header, after.skeleton) == (before.header, before.skeleton)
        for one, two in zip(seen, [frame for frame in after.frames if len(frame.people)], strict=True):
            assert (one.frame_index, one.pts, one.people.ids.tolist()) == (
                *(two.frame_index, two.pts, two.people.ids.tolist()),
            )
            np.testing.assert_array_equal(one.people.points_frame, two.people.points_frame)
            np.testing.assert_array_equal(one.people.scores, two.people.scores)


def test_every_kind_comes_out_of_json_lines_as_out_of_a_run(tmp_path: Path) -> None:
    for package in {package for kind in KINDS for package in kind.needs}:
        pytest.importorskip(package)
    (tmp_path / "run").mkdir()
    (tmp_path / "made").mkdir()
    rounded = written(tmp_path / "clip.jsonl")
    convert(rounded, *(word for kind in KINDS for word in ("-o", tmp_path / "run" / f"clip{kind.end}")))
    convert(rounded, "-o", tmp_path / "run.json")
    convert(tmp_path / "run.json", *(w for kind in KINDS for w in ("-o", tmp_path / "made" / f"clip{kind.end}")))
    for kind in KINDS:
        if kind.name != "dlc-h5":
            name = f"clip{kind.end}"
            assert content(tmp_path / "run" / name) == content(tmp_path / "made" / name)


@pytest.mark.parametrize("source", READABLE, ids=lambda kind: kind.name)
@pytest.mark.parametrize("end", [".trc", ".dlc.csv"])
def test_every_third_frame_becomes_what_its_run_writes(tmp_path: Path, source: Kind, end: str) -> None:
    header = replace(HEADER, stride=3)
    (tmp_path / "run").mkdir()
    (tmp_path / "made").mkdir()
    paths = tmp_path / f"clip{source.end}", tmp_path / "run" / f"clip{end}"
    for output in map(output_named, paths):
        assert output is not None
        with output.open(COCO17, header) as sink:
            for frame in frames((0, 1, 1, 0, 0, 2, 0)):
                people = replace(frame.people, points_frame=frame.people.points_frame.round(2))
                late = 9 * frame.pts + 90_000
                sink.write(FrameResult(3 * frame.frame_index, late, late / 90_000, people, frame.key))
    told = convert(paths[0], "-o", tmp_path / "made" / f"clip{end}")
    assert "does not say" not in told
    made, run = content(tmp_path / "made" / f"clip{end}"), content(paths[1])
    if source.name == "posetrack":  # has other keypoints
        made, run = ({name: len(text.splitlines()) for name, text in one.items()} for one in (made, run))
    assert made == run


@pytest.mark.parametrize("stated", [3, 7, 1])
def test_frames_whose_numbers_do_not_lie_as_is_stated_all_become_rows(tmp_path: Path, stated: int) -> None:
    path, apart = tmp_path / "clip.jsonl", 2 if stated == 1 else 1
    with output_named(path).open(COCO17, replace(HEADER, stride=stated)) as sink:
        for frame in frames((1, 1, 1, 1)):
            sink.write(replace(frame, frame_index=apart * frame.frame_index), None)
    convert(path, "-o", tmp_path / "out.trc", "-o", tmp_path / "out.dlc.csv")
    rows = [(tmp_path / name).read_text().splitlines()[skipped:] for name, skipped in TABLES]
    assert [[int(re.split("[\t,]", row)[0]) for row in table] for table in rows] == [
        [apart * frame + first for frame in range(4)] for first in (1, 0)
    ]


def test_a_table_without_facts_lists_no_frames_that_were_never_read(tmp_path: Path) -> None:
    path = written(tmp_path / "bare.csv", (1, 1, 0, 1))
    path.write_text(re.sub("^(\\d+)", lambda number: f"{3 * int(number[0])}", path.read_text(), flags=re.M))
    (tmp_path / "bare.csv-metadata.json").unlink()
    told = convert(path, "-o", tmp_path / "out.dlc.csv")
    rows = (tmp_path / "out.dlc.csv").read_text().splitlines()[4:]
    assert [row.split(",")[0] for row in rows] == ["0", "3", "6", "9"]
    assert "frames 3 apart from the first with people to the last are listed" in told
    assert "are not listed" not in told


@pytest.mark.parametrize(("score", "sure"), [(0.2996, True), (0.2994, False)])
def test_files_of_a_run_and_of_a_conversion_judge_a_score_as_it_is_written(
    tmp_path: Path, score: float, sure: bool
) -> None:
    (frame,) = frames((2,))
    points, boxes = (array.round(2) for array in (frame.people.points_frame, frame.people.boxes_frame))
    people = People(frame.people.ids, boxes, points, np.full((2, 17), score, np.float32))
    ends = (".json", ".trc", ".angles.csv", ".mot.txt")
    (tmp_path / "run").mkdir()
    (tmp_path / "made").mkdir()
    for output in map(output_named, (tmp_path / "clip.jsonl", *(tmp_path / "run" / f"clip{end}" for end in ends))):
        assert output is not None
        with output.open(COCO17, HEADER) as sink:
            sink.write(replace(frame, people=people), None)
    convert(tmp_path / "clip.jsonl", *(word for end in ends for word in ("-o", tmp_path / "made" / f"clip{end}")))
    run = content(tmp_path / "run")
    assert run == content(tmp_path / "made")
    for row in json.loads(run["clip.json"])["annotations"]:
        assert row["keypoint_scores"] == [0.3 if sure else 0.299] * 17
        assert set(row["keypoints"][2::3]) == {2 if sure else 1}
    assert (b"NaN" in run["clip_person5.trc"]) != sure
    assert (b",\n" in run["clip.angles.csv"]) != sure


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "clip.jsonl")

    def fail(*_: object) -> None:
        raise OutputError("no room")

    monkeypatch.setattr("vipnas_cli.results.mot.MotSink.close", fail)
    names = ("out.mot.txt", "out.csv", "out.trc")
    result = CliRunner().invoke(
        app,
        ["convert", str(tmp_path / "clip.jsonl"), *(word for name in names for word in ("-o", str(tmp_path / name)))],
    )
    assert isinstance(result.exception, OutputError)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.jsonl"]


def test_a_conversion_that_fails_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.jsonl"
    with output_named(path).open(COCO17, HEADER) as sink:
        for index in (0, 1, 10_000_000):
            sink.write(replace(frames((1,))[0], frame_index=index), None)
    (tmp_path / "a.csv").write_text("precious")
    outputs = (word for name in ("a.csv", "b.dlc.csv") for word in ("-o", str(tmp_path / name)))
    result = CliRunner().invoke(app, ["convert", str(path), *outputs, "--overwrite"])
    assert "has a row for each frame" in str(result.exception)
    assert (tmp_path / "a.csv").read_text() == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "clip.jsonl"]


@pytest.mark.parametrize(
    ("out", "made"),
    [
        ("{name}.csv", "walk.csv"),
        ("csv:{name}/{name}.txt", "walk/walk.txt"),
        ("there", "there/walk.csv"),
        ("new/", "new/walk.csv"),
    ],
)
def test_names_and_folders_are_as_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, made: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    convert(written(Path("walk.wide.csv")), "-o", out)
    assert Path(made).is_file()
    assert Path(f"{made}-metadata.json").is_file()


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    bare = written(tmp_path / "bare.csv")
    (tmp_path / "bare.csv-metadata.json").unlink()
    told = convert(bare, "-o", tmp_path / "out.jsonl")
    assert "boxes are those around the keypoints" in told
    assert "frames without people are not listed" in told
    assert "size, source and pipeline are not known" in told
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["width"] is None
    result = CliRunner().invoke(app, ["convert", str(bare), "-o", str(tmp_path / "out.trc")])
    assert isinstance(result.exception, OutputError)
    assert "whose size is not known" in result.exception.what
    assert not (tmp_path / "out.trc").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["clip.mot.txt", "-o", "a.csv"], InputError, "no file of poses that can be read back"),
        (["clip.gif", "-o", "a.csv"], InputError, "no file of poses that can be read back"),
        (["gone.jsonl", "-o", "a.csv"], DataError, "gone.jsonl"),
        (["jsonl:-", "-o", "a.csv"], InputError, "stdin is a pipe or a device, and poses are read from files"),
        (["jsonl:/dev/null", "-o", "a.csv"], InputError, "/dev/null is a pipe or a device"),
        (["clip.jsonl", "-o", "csv:/dev/null", "--overwrite"], OutputError, "/dev/null is a device or a pipe"),
        (["clip.jsonl", "-o", "a.gif"], UsageError, "no kind of poses"),
        (["clip.jsonl", "-o", "clip.jsonl"], UsageError, "is a file that is read"),
        (["clip.jsonl", "-o", "there.csv"], OutputError, "there.csv-metadata.json exists"),
        (["clip.jsonl", "-o", "-", "-o", "jsonl:-"], UsageError, "both want stdout"),
    ],
)
def test_one_sentence_for_what_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: type[Exception], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("clip.jsonl"))
    Path("there.csv-metadata.json").write_text("precious")
    result = CliRunner().invoke(app, ["convert", *arguments])
    assert isinstance(result.exception, error)
    assert words in str(result.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.jsonl", "there.csv-metadata.json"]


def test_a_package_that_is_missing_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_kinds, "find_spec", lambda _: None)
    for name, extra in (("a.parquet", "parquet"), ("a.dlc.h5", "deeplabcut")):
        output = output_named(name)
        assert output is not None
        with pytest.raises(OutputError, match="needs the package") as caught:
            output.kind.check()
        assert caught.value.hint == f"pip install 'vipnas[{extra}]'"


def test_a_folder_takes_the_place_of_one_of_its_kind_only(tmp_path: Path) -> None:
    folder = written(tmp_path / "clip.openpose", (1, 1, 1))
    written(folder, (1,))
    assert len(list(folder.iterdir())) == 1
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(OutputError, match="holds other files"):
        written(folder, (1,))
    assert (folder / "notes.txt").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["clip.openpose"]
    (tmp_path / "file.trc").write_text("precious")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        written(tmp_path / "file.trc", (1,))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("trc", "subject01.trc"),
        ("trc", "markers_person.trc"),
        ("openpose", "video_000000000000_keypoints.json"),
        ("openpose", "markers_0_keypoints.json"),
    ],
)
def test_a_folder_takes_the_place_of_none_with_files_of_others(tmp_path: Path, kind: str, name: str) -> None:
    folder = tmp_path / "markers"
    written(f"{kind}:{folder}")
    (folder / name).write_text("precious")
    with pytest.raises(OutputError, match=f"holds other files than this result has, such as {name}"):
        written(f"{kind}:{folder}")
    assert (folder / name).read_text() == "precious"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_full_disk_is_told_and_leaves_whole_frames_or_nothing(tmp_path: Path, kind: Kind) -> None:
    resource = pytest.importorskip("resource")
    whole = content(written(tmp_path / f"whole{kind.end}", (3,) * 40))
    path = tmp_path / f"cut{kind.end}"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, whole.values())) - 200, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            written(path, (3,) * 40)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    left = {file.name for file in tmp_path.iterdir()} - {"whole" + end for end in (kind.end, kind.end + FACTS_END)}
    if not left:
        return
    assert left == {file.name for file in all_kinds.Output(kind, path).files}
    if kind.read is not None:
        assert 30 < len(kind.read(path).frames) < 40
    else:
        assert all(text.endswith((b"\n", b"}")) for text in content(path).values())


def test_posetracks_layout_is_known_without_its_ending(tmp_path: Path) -> None:
    written(Path(f"posetrack:{tmp_path}/walk.json"))
    convert(tmp_path / "walk.json", "-o", tmp_path / "plain.jsonl")
    convert(f"posetrack:{tmp_path}/walk.json", "-o", tmp_path / "stated.jsonl")
    assert (tmp_path / "plain.jsonl").read_bytes() == (tmp_path / "stated.jsonl").read_bytes()
    with pytest.raises(UsageError, match="has the joints of PoseTrack's layout"):
        source_named(f"coco:{tmp_path}/walk.json")
    assert source_named(written(tmp_path / "coco.json")).kind.name == "coco"
    assert source_named(tmp_path / "gone.json").kind.name == "coco"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.openpose", "does not hold all keypoints (not head_top), what it"),
        ("out.mot.txt", "does not hold keypoints, what it"),
        ("out.angles.csv", "does not hold keypoints, scores"),
        ("out.csv", "does not hold boxes and key frames."),
    ],
)
def test_keypoints_that_are_lost_are_named(tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / "clip.posetrack.json"
    told = convert(written(path), "-o", tmp_path / name)
    assert words in told
    assert "keypoints (" not in convert(written(tmp_path / "clip.jsonl"), "-o", tmp_path / name, "--overwrite")


@pytest.mark.parametrize("end", [".json", ".posetrack.json"])
def test_frames_that_are_pictures_keep_their_names(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"out{end}"
    with output_named(path).open(COCO17, replace(HEADER, pictures={0: "img6.png", 1: "img10.png"})) as sink:
        for frame in frames((1, 0, 1)):
            sink.write(frame, None)
    names = [image["file_name"] for image in json.loads(path.read_text())["images"]]
    assert names == ["img6.png", "img10.png", f"{'frame_' * (end == '.json')}000002.jpg"]
    convert(path, "-o", tmp_path / f"again{end}")
    assert (tmp_path / f"again{end}").read_bytes() == path.read_bytes()
    assert "names of pictures" not in convert(path, "-o", tmp_path / "held.jsonl", "-o", tmp_path / "held.csv")
    assert "names of pictures" in convert(tmp_path / "held.csv", "-o", tmp_path / "out.dlc.csv")
