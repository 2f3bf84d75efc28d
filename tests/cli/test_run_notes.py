"""What `vipnas run` says of people who were lost or left out, of costs and of faces: only what holds and helps."""

from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.cli.app import app
from vipnas_cli.cli.run.notes import RunNotes, visible_faces
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.picture import BackgroundChoice
from vipnas_cli.inference.choosing import parse_person
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.people import GivenBoxesSource, WholeFrameSource
from vipnas_cli.inference.pipeline import LastSeen, RunStatistics
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import Tracker, TrackerOptions, detector_as_run, propagator_of
from vipnas_cli.latency.choice import Choice
from vipnas_cli.media.frames import VideoInfo
from vipnas_cli.spec import FAST_BASE, Budget, Plan

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIP = EXAMPLES / "two_people.mp4"
BUNDLE = open_bundle(bundled_weights())
SOURCES = {None: WholeFrameSource(), "whole": WholeFrameSource(), "b.csv": GivenBoxesSource({})}
DETECT, BUDGET, SIZE = "--detect-every 0", "--budget sees", "--detector-size"


def notes(
    statistics: RunStatistics, budget: str = "0.2GFLOPs", width: int = 1920, shortest: int = 0, **typed: Any
) -> RunNotes:
    """The notes of a run with these options and counts."""
    options = RunOptions(inputs=("clip.mp4",), out=("out.mp4",), budget=budget, **typed)
    person = None if options.person is None else parse_person(options.person)
    asked = TrackerOptions(options.max_people, person, detector_size=options.detector_size)
    source = SOURCES[options.boxes]
    detector = detector_as_run(BUNDLE.detector, asked) if options.boxes is None and BUNDLE.detector else None
    tracker = Tracker(propagator_of(PaintedEstimator((Plan(FAST_BASE),)), source, asked), source, detector, "none")
    found = Budget.parse(budget)
    pipeline = BUNDLE.within(found.value if found.unit == "macs" else 2e8)
    choice = Choice(BUNDLE, pipeline, RuntimeOptions(1), "default", shortest_cycle=shortest)
    info = VideoInfo(Path("clip.mp4"), width, width // 2, Fraction(1, 25), Fraction(25))
    return RunNotes(options, info, statistics, choice, tracker, found)


def lost(looks: int = 3) -> RunStatistics:
    """A run of ten key frames in which somebody was lost."""
    seen = LastSeen(1.0, np.zeros(4, np.float32), at_edge=False)
    return RunStatistics(40, looks=looks, reasons=Counter(cycle=10), last_seen={4: seen}, time_s=9.0)


@pytest.mark.parametrize(
    ("typed", "looks", "hints"),
    [
        ({}, 3, [DETECT, f"larger {BUDGET}", f"{SIZE} 640"]),
        ({"detector_size": 1280, "detect_every_s": 0.0}, 10, [f"larger {BUDGET}"]),
        ({"detector_size": 640}, 3, [DETECT, f"larger {BUDGET}", f"{SIZE} 1280"]),
        ({"width": 320}, 10, [f"larger {BUDGET}"]),
        ({"boxes": "b.csv"}, 10, [f"larger {BUDGET}"]),
        ({"boxes": "b.csv", "budget": "100GFLOPs"}, 10, []),
        ({"budget": "60fps", "width": 320}, 10, [f"lower {BUDGET}"]),
    ],
)
def test_hints_are_options_that_can_be_typed_and_change_something(
    typed: dict[str, Any], looks: int, hints: list[str]
) -> None:
    (told,) = notes(lost(looks), **typed)
    assert told.startswith("lost inside the picture: id 4 at 1.0 s")
    found = list(filter(None, told.partition("; ")[2].split(", ")))
    assert len(found) == len(hints)
    for text, hint in zip(found, hints, strict=True):
        assert hint in text


def test_in_a_region_people_are_lost_inside_it() -> None:
    (told,) = notes(lost(), roi="0,0,0.5,1")
    assert told.startswith("lost inside the region: id 4")


@pytest.mark.parametrize(
    ("typed", "words", "not_said"),
    [
        ({}, "--boxes whole takes all of it", "Leave"),
        ({"boxes": "whole"}, "Leave --boxes whole out", "takes all"),
        ({"boxes": "b.csv"}, "no boxes for the key frames", "--boxes whole"),
        ({"roi": "0,0,0.5,1"}, "Leave --roi out", "whole"),
    ],
)
def test_where_nobody_is_the_hint_is_none_of_what_was_typed(typed: dict[str, Any], words: str, not_said: str) -> None:
    told = notes(RunStatistics(5), **typed).nobody
    assert words in told
    assert not_said not in told


def spent(crops: dict[int, int], people: int, reasons: dict[str, int], position: int) -> RunStatistics:
    """What was counted of a run that ended at a position of the cycle."""
    return RunStatistics(5, Counter(crops), reasons=Counter(reasons), people=Counter({0: people}), position=position)


@pytest.mark.parametrize(
    ("counted", "shortest", "reasons"),
    [
        (spent({0: 1}, 1, {"cycle": 1}, 0), 0, ["a last cycle that was cut short after 1 of 4 frames"]),
        (spent({0: 2, 1: 2}, 4, {"cycle": 2}, 1), 2, []),
        (spent({0: 2, 1: 1, 2: 1, 3: 1}, 5, {"cycle": 1, "cut": 1}, 3), 0, ["1 early key frame"]),
        (
            spent({0: 5, 1: 3}, 6, {"cycle": 1, "lost": 2}, 3),
            0,
            ["2 early key frames", "2 crops of people who were not believed or not followed"],
        ),
    ],
)
def test_what_came_on_top_of_the_cycle_is_what_was_counted(
    counted: RunStatistics, shortest: int, reasons: list[str]
) -> None:
    found = notes(counted, shortest=shortest)
    assert len(found.choice.pipeline.networks) == 4
    assert found.extra_costs == ", ".join(reasons)


@pytest.mark.parametrize(
    ("typed", "counts", "told"),
    [
        (
            {"max_people": 1},
            (1, 1),
            "on 1 key frame up to 1 box beyond --max-people 1 was left out; --max-people 2 takes it",
        ),
        ({}, (3, 2), "on 3 key frames up to 2 boxes beyond --max-people 20 were left out; --max-people 22 takes them"),
        ({"person": "largest"}, (3, 2), None),
        (
            {"person": "largest", "blur_faces": True},
            (3, 2),
            "on 3 key frames up to 2 boxes beyond the 4 people who are followed with --person were left out, with "
            "faces not blurred; --person with an id, or none, follows all up to --max-people",
        ),
        (
            {"max_people": 1, "blur_faces": True},
            (2, 1),
            "on 2 key frames up to 1 box beyond --max-people 1 was left out, with faces not blurred; --max-people 2 "
            "takes it",
        ),
    ],
)
def test_boxes_left_out_are_told_of_and_faces_in_them(
    typed: dict[str, Any], counts: tuple[int, int], told: str | None
) -> None:
    found = notes(RunStatistics(40, crowded_frames=counts[0], most_left_out=counts[1]), **typed)
    assert list(found) == ([] if told is None else [told])
    assert found.leaves_faces == ("blur_faces" in typed)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({}, ()),
        ({"person": "1"}, ()),
        ({"person": "largest"}, ("--person largest follows 3 others",)),
        ({"person": "0.5,0.5", "max_people": 2}, ("--max-people 2",)),
        ({"max_people": 1}, ("--max-people 1",)),
        ({"max_people": 50}, ()),
        ({"roi": "0,0,0.5,1"}, ("outside --roi",)),
        ({"roi": "0,0,0.5,1", "max_people": 1}, ("outside --roi", "--max-people 1")),
        ({"roi": "0,0,0.5,1", "blur_faces": False}, ()),
        ({"roi": "0,0,0.5,1", "background": BackgroundChoice.black}, ()),
        ({"roi": "0,0,0.5,1", "out": ("out.csv",)}, ()),
        ({"roi": "0,0,0.5,1", "out": ("out.html",)}, ("outside --roi",)),
    ],
)
def test_whose_faces_stay_visible_is_told_before_a_run(typed: dict[str, Any], words: tuple[str, ...]) -> None:
    settings = {"inputs": ("clip.mp4",), "out": ("out.mp4",), "blur_faces": True, **typed}
    found = list(visible_faces(RunOptions(**settings)))
    assert len(found) == len(words)
    for text, word in zip(found, words, strict=True):
        assert text.startswith("--blur-faces: ")
        assert word in text
        assert "stay visible" in text


def detail(path: Path, identity: int) -> float:
    """How much neighbours differ in the face of somebody of the clip, in the first frame of a video of it."""
    truth = json.loads((EXAMPLES / "two_people_truth.jsonl").read_text().splitlines()[0])
    person = next(person for person in truth["people"] if person["id"] == identity)
    x, y = np.array(person["keypoints"])[:5, :2].mean(axis=0).astype(int).tolist()
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="gray")
    return float(np.abs(np.diff(picture[y - 8 : y + 8, x - 8 : x + 8].astype(float), axis=1)).mean())


def run(folder: Path, *arguments: str) -> str:
    """What a run of two frames says."""
    words = ["run", str(CLIP), "--end", "0.08", "--threads", "1", "--overwrite", *arguments]
    outputs = ("-o", f"{folder}/{{name}}.mp4", "-o", f"{folder}/{{name}}.csv")
    found = CliRunner().invoke(app, [*words, *outputs])
    assert found.exit_code == 0
    return " ".join(found.stderr.split())


def test_the_face_of_whoever_is_followed_is_blurred_though_another_one_is_meant(tmp_path: Path) -> None:
    run(tmp_path, "--person", "largest")
    clear, rows = detail(tmp_path / "two_people.mp4", 2), (tmp_path / "two_people.csv").read_text()
    said = run(tmp_path, "--person", "largest", "--blur-faces")
    assert detail(tmp_path / "two_people.mp4", 2) < clear / 3
    assert (tmp_path / "two_people.csv").read_text() == rows
    assert "not blurred" not in said


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        (["--roi", "0,0,0.5,1"], "outside --roi", "note --blur-faces: nobody is followed outside --roi"),
        (["--max-people", "1"], "--max-people 1 follows no more", "1 was left out, with faces not blurred"),
    ],
)
def test_faces_that_stay_visible_are_told_before_and_after(
    tmp_path: Path, words: list[str], start: str, end: str
) -> None:
    before, found, after = run(tmp_path, "--blur-faces", *words).partition("Pipeline")
    assert found
    assert re.match("--blur-faces: .*stay visible", before)
    assert start in before
    assert end in after


def test_of_several_inputs_those_with_faces_that_stay_visible_are_named(tmp_path: Path) -> None:
    again = tmp_path / "more" / "again.mp4"
    again.parent.mkdir()
    again.symlink_to(CLIP)
    said = run(tmp_path, str(again), "--blur-faces", "--max-people", "1")
    assert said.startswith("--blur-faces: --max-people 1 follows no more")
    assert said.count("faces of people left out are not blurred") == 4


def test_the_summary_of_one_frame_says_that_its_cycle_was_cut_short(tmp_path: Path) -> None:
    said = run(tmp_path, "--end", "0.03")
    assert "frames 1, 1 key frame among them" in said
    assert "came a last cycle that was cut short after 1 of 4 frames" in said
    assert "early" not in said
