"""The package in Python: people and their poses in the frames of a video, at a compute budget.

Shapes: H, W frame pixels. `vipnas run` is this with readers and writers of files.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from vipnas_cli.arrays import Boxes, Image, Scores
from vipnas_cli.data.files.boxes import read_boxes
from vipnas_cli.data.people_labels import LARGEST_PLACE
from vipnas_cli.errors import DataError, UsageError
from vipnas_cli.files import shown
from vipnas_cli.inference.bounds import LEAST_DETECTOR_SIZE, MOST_DETECTOR_SIZE
from vipnas_cli.inference.choosing import parse_person, parse_region
from vipnas_cli.inference.people import DistinctPeople, GivenBoxesSource, PeopleSource, WholeFrameSource
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import Tracker, TrackerOptions, open_tracker
from vipnas_cli.latency.choice import Choice, Workload, choose, default_budget
from vipnas_cli.media.address import Origin, Stream, origin_of
from vipnas_cli.media.inputs import FrameReader, open_input
from vipnas_cli.media.pictures import PICTURE_RATE
from vipnas_cli.pose import People
from vipnas_cli.spec import Budget
from vipnas_cli.tracking.smoothing import SMOOTHING_PRESETS, Smoother

WHOLE = "whole"


class TrackedFrame(NamedTuple):
    """An RGB frame (H, W, 3), its time in seconds, and the people in it; equal if all of these are."""

    frame: Image
    time_s: float
    people: People

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrackedFrame):
            return False
        same = self.time_s == other.time_s and self.people == other.people
        return same and np.array_equal(self.frame, other.frame)

    def __ne__(self, other: object) -> bool:
        # A tuple's own would compare the pixels one by one.
        return not self.__eq__(other)


class TrackerSettings(TypedDict, total=False):
    """What `track` passes on to PoseTracker; a `frame_rate` is taken in place of the video's own."""

    weights: Path | str | None
    boxes: Path | str | PeopleSource | None
    max_people: int
    person: str | int | None
    region: str | None
    detector_size: int | None
    detect_every_s: float | None
    verify: bool | None
    smooth: str
    threads: int
    provider: str
    frame_rate: float | None


@dataclass(eq=False)
class PoseTracker:
    """Finds the people of a video frame by frame; each keeps an id.

    `budget`: mean cost per person and frame, such as "0.5GFLOPs" or "12ms"; the best pipeline within it runs.
    `weights`: a folder or file of pipelines, or one exported network, in place of the bundled ones.
    `boxes`: a file of boxes by frame, "whole" for one person who fills the frame, or a people source of your own, an
    object with a method `boxes(image, frame_index)`, in place of the own detector. A source is asked on key frames, as
    often as the detector would be: at most every 0.25 s and every fourth frame, up to 4 s apart while nothing new comes
    into view, and on every key frame with `detect_every_s` 0. Somebody new needs a mean keypoint score of 0.45 in the
    box, and the score of the box times the root of that mean has to reach 0.44.
    `max_people`: who is followed stays so while there, newcomers come by how large and central they are. `person`:
    "largest", "central" or "x,y" is one person, chosen anew only when lost; an id is that one alone. `region`:
    "x,y,width,height" in pixels or shares of the picture: nobody outside is followed.
    `detector_size` (pixels) and `verify` are the own detector's (`verify` None: as it comes; the bundled detector
    comes with a verifier, imported ones without), `detect_every_s` that of a people source of your own, too.
    `smooth`: off, low or high. `threads`: 0 takes what `vipnas bench` found. `provider`: auto, cpu, cuda, openvino or
    coreml. `frame_rate`: how many frames come per second, as slow video is better off without followers. `workload`:
    the video that a budget in frames per second is measured on, with its frame rate.

    Errors: UsageError for a setting that cannot be used, BudgetError for a budget that nothing meets, WeightsError,
    and DataError for a file of boxes. A call raises DataError for boxes of a people source that cannot be used.
    """

    budget: Budget | str | None = None
    weights: Path | str | None = field(default=None, kw_only=True)
    boxes: Path | str | PeopleSource | None = field(default=None, kw_only=True)
    max_people: int = field(default=TrackerOptions.max_people, kw_only=True)
    person: str | int | None = field(default=None, kw_only=True)
    region: str | None = field(default=None, kw_only=True)
    detector_size: int | None = field(default=None, kw_only=True)
    detect_every_s: float | None = field(default=None, kw_only=True)
    verify: bool | None = field(default=TrackerOptions.verify, kw_only=True)
    smooth: str = field(default="off", kw_only=True)
    threads: int = field(default=0, kw_only=True)
    provider: str = field(default="auto", kw_only=True)
    frame_rate: float | None = field(default=None, kw_only=True)
    workload: Workload | None = field(default=None, kw_only=True, repr=False)
    choice: Choice = field(init=False, repr=False)
    tracker: Tracker = field(init=False, repr=False)
    _smoother: Smoother | None = field(init=False, repr=False)
    _frames: int = field(default=0, init=False, repr=False)
    _time_s: float = field(default=-np.inf, init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_numbers()
        self._smoother = _smoother(self.smooth)
        self._check_detector()
        boxes = self._given_boxes()
        weights = None if self.weights is None else Path(self.weights)
        budget = default_budget(weights) if self.budget is None else self.budget
        budget = Budget.parse(budget) if isinstance(budget, str) else budget
        every_s = TrackerOptions.detect_every_s if self.detect_every_s is None else self.detect_every_s
        options = TrackerOptions(
            self.max_people,
            person=None if self.person is None else parse_person(str(self.person)),
            region=None if self.region is None else parse_region(self.region),
            detector_size=self.detector_size,
            detect_every_s=every_s,
            verify=self.verify,
        )
        workload = self.workload if self.frame_rate is None else self.workload or Workload()
        if workload is not None:
            rate = workload.frame_rate if self.frame_rate is None else self.frame_rate
            workload = replace(workload, options=options, detects=boxes is None, frame_rate=rate)
        self.choice = found = choose(weights, budget, RuntimeOptions(self.threads, self.provider), workload)
        options = replace(options, shortest_cycle=found.shortest_cycle)
        self.tracker = open_tracker(found.pipeline, found.bundle.detector, found.runtime, options, boxes)

    def __call__(self, frame: Image, time_s: float, index: int | None = None) -> People:
        """The people in the next RGB frame (H, W, 3), uint8, at `time_s` seconds; UsageError for anything else.

        Their arrays are the caller's, who may change them in place.
        `index` is the number by which a file of boxes knows the frame; None: the next one.
        """
        _check_picture(frame)
        time_s, index = _checked_time(time_s), _checked("index", index, (int, NoneType))
        if not time_s >= self._time_s:
            raise UsageError(
                f"a frame at {time_s:g} s follows one at {self._time_s:g} s", "call reset() before another video"
            )
        index = self._frames if index is None else index
        step = self.tracker.propagator.step(np.ascontiguousarray(frame), index, time_s)
        self._frames, self._time_s = index + 1, time_s
        people = step.people if self._smoother is None else self._smoother.smooth(step.people, time_s)
        # The next frame goes on from these arrays.
        return people.copy()

    def reset(self) -> None:
        """Forgets everyone, as before the first frame of another video."""
        self._frames, self._time_s = 0, -np.inf
        self.tracker.propagator.reset()
        if self._smoother is not None:
            self._smoother.reset()

    def _check_numbers(self) -> None:
        """UsageError for a setting of the wrong type, or a number that the command line would refuse, too."""
        kinds = {
            "budget": (Budget, str, NoneType),
            "weights": (str, Path, NoneType),
            "max_people": (int,),
            "person": (str, int, NoneType),
            "region": (str, NoneType),
            "detector_size": (int, NoneType),
            "detect_every_s": (int, float, NoneType),
            "verify": (bool, NoneType),
            "smooth": (str,),
            "threads": (int,),
            "provider": (str,),
            "frame_rate": (int, float, NoneType),
            "workload": (Workload, NoneType),
        }
        for name, known in kinds.items():
            setattr(self, name, _checked(name, getattr(self, name), known))
        for name in ("weights", "boxes"):
            if getattr(self, name) == "":
                raise UsageError(f"{name} is an empty path", "name a file or folder, or leave it out")
        bounds = (
            ("max_people", 1, None),
            ("detector_size", LEAST_DETECTOR_SIZE, MOST_DETECTOR_SIZE),
            ("detect_every_s", 0, None),
        )
        for name, least, most in bounds:
            value = getattr(self, name)
            if value is not None and not (value >= least and (most is None or value <= most)):
                upper = "" if most is None else f" and at most {most}"
                raise UsageError(f"{name} is {value}", f"it must be at least {least}{upper}")
        if self.frame_rate is not None and not 0 < self.frame_rate < math.inf:
            raise UsageError(f"frame_rate is {self.frame_rate}", "it must be above 0 and finite")
        given = self.boxes is None or isinstance(self.boxes, str | Path)
        if not given and not callable(getattr(self.boxes, "boxes", None)):
            raise UsageError(f"boxes is {self.boxes!r}", 'give a file, "whole" or a people source')

    def _check_detector(self) -> None:
        """UsageError if something is asked of the detector where it does not run."""
        given = isinstance(self.boxes, str | Path | GivenBoxesSource | WholeFrameSource)
        # A people source is asked as often as the detector.
        for name in ("detector_size", "verify", *(("detect_every_s",) if given else ())):
            value = getattr(self, name)
            if self.boxes is not None and value is not None and value is not False:
                raise UsageError(f"{name} has no use with boxes, which replace the detector", "leave one of them out")

    def _given_boxes(self) -> PeopleSource | None:
        """What `boxes` gives in place of the detector; DataError for a file that cannot be used."""
        if not isinstance(self.boxes, str | Path):
            if self.boxes is None or isinstance(self.boxes, GivenBoxesSource | WholeFrameSource | DistinctPeople):
                return self.boxes
            return _CheckedSource(self.boxes)
        path = Path(self.boxes)
        if self.boxes == WHOLE or (path == Path(WHOLE) and _is_missing(path)):
            return WholeFrameSource()
        if self.workload is not None and self.workload.start_s:
            raise UsageError(
                "boxes of a file and a start are ambiguous: frame numbers count from the first frame read", "cut first"
            )
        if _is_missing(path):
            raise DataError(
                f"{shown(path)} does not exist", f"name a file of boxes, or {WHOLE} for one person who fills the frame"
            )
        return GivenBoxesSource(read_boxes(path))


@dataclass(frozen=True)
class _CheckedSource:
    """A people source of a user's own whose boxes are checked, and copied, as it may use its arrays again."""

    source: PeopleSource

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        """Boxes (N, 4) and scores (N,) of a frame; DataError if they are of another shape or no picture has them."""
        answer = self.source.boxes(image, frame_index)
        try:
            found, confidence = answer
            with np.errstate(over="ignore"):
                boxes, scores = np.array(found, np.float32), np.array(confidence, np.float32)
        except (TypeError, ValueError) as error:
            raise _unusable(f"no boxes and scores at frame {frame_index}") from error
        boxes = boxes.reshape(0, 4) if boxes.shape == (0,) else boxes
        if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != (len(boxes),):
            raise _unusable(f"boxes of shape {boxes.shape} and scores of shape {scores.shape} at frame {frame_index}")
        good = (np.abs(boxes) <= LARGEST_PLACE).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1) & np.isfinite(scores)
        if not good.all():
            row = int(good.argmin())
            raise _unusable(f"the box {boxes[row].tolist()} with the score {scores[row]:g} at frame {frame_index}")
        return boxes, scores


def _unusable(what: str) -> DataError:
    return DataError(
        f"the people source gave {what}", "return boxes (N, 4) as x0, y0, x1, y1 in pixels, and scores (N,)"
    )


def _is_missing(path: Path) -> bool:
    """Whether there is nothing at a path; of what may not be looked at its reader tells."""
    try:
        return not path.exists()
    except OSError:
        return False


def track(
    video: Origin | str,
    budget: Budget | str | None = None,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    stride: int = 1,
    **settings: Unpack[TrackerSettings],
) -> Iterator[TrackedFrame]:
    """Every `stride`-th frame of a video with start_s <= time < end_s and its people; for the settings see PoseTracker.

    Errors: those of PoseTracker, and VideoError for a video that cannot be read.
    """
    if "workload" in settings:
        raise UsageError("track finds out the workload itself", "leave it out, or call a PoseTracker")
    with read_video(video, start_s, end_s, stride) as frames:
        workload = Workload.of(frames.info, origin_of(video), start_s, stride)
        tracker = PoseTracker(budget, workload=workload, **settings)
        for frame in frames:
            yield TrackedFrame(frame.image, frame.time_s, tracker(frame.image, frame.time_s, frame.index))


def read_video(
    video: Origin | str,
    start_s: float | None = None,
    end_s: float | None = None,
    stride: int = 1,
    picture_rate: float = PICTURE_RATE,
    live: bool | None = None,
) -> FrameReader:
    """Every `stride`-th frame of a video with start_s <= time < end_s: RGB `image` (H, W, 3) and `time_s`.

    Also "-" for stdin, "0" for the first camera, and URLs (rtsp, rtmp, srt, udp, tcp, http). A picture is a video of
    one frame, a folder of pictures one of `picture_rate` frames a second. `live` streams drop pictures that come too
    fast and connect again when they break: None leaves it to the kind of stream. An infinite `end_s` is the end.
    VideoError if there is no frame; UsageError for what cannot be meant, and for reading it after its `close`.
    """
    video = _checked("video", video, (str, Path, Stream))
    stride = _checked("stride", stride, (int,))
    if stride < 1:
        raise UsageError(f"stride is {stride}", "it must be at least 1")
    start_s, end_s = (
        _checked(name, at_s, (int, float, NoneType)) for name, at_s in (("start_s", start_s), ("end_s", end_s))
    )
    picture_rate = _checked("picture_rate", picture_rate, (int, float, Fraction))
    # Written so that NaN is refused, too; a whole number may be larger than any float.
    if not 0 < picture_rate <= sys.float_info.max:
        raise UsageError(f"picture_rate is {picture_rate}", "give it as a positive number of pictures per second")
    live = _checked("live", live, (bool, NoneType))
    return open_input(video, start_s, None if end_s == math.inf else end_s, stride, float(picture_rate), live)


def _checked(name: str, value: Any, known: tuple[type, ...]) -> Any:
    """The value of a setting, as Python's own number if it is NumPy's; UsageError if it is of no type that is known."""
    if isinstance(value, np.generic):
        value = value.item()
    # A bool is an int, too.
    if not isinstance(value, known) or (isinstance(value, bool) and bool not in known):
        wanted = " or ".join(kind.__name__ for kind in known if kind is not NoneType)
        raise UsageError(f"{name} is {value!r}", f"give it as {wanted}")
    return value


def _checked_time(time_s: object) -> float:
    """Seconds as a float; UsageError for what is no number or none that time goes on from."""
    if not isinstance(time_s, Real) or isinstance(time_s, bool) or not math.isfinite(time_s):
        raise UsageError(f"the time of a frame is {time_s!r}", "give it as finite seconds")
    return float(time_s)


def _check_picture(frame: object) -> None:
    """UsageError unless it is an array (H, W, 3) of uint8."""
    if not isinstance(frame, np.ndarray):
        found = type(frame).__name__
    elif frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        found = f"{frame.dtype} {frame.shape}"
    else:
        return
    raise UsageError(f"a frame is {found}", "give an RGB picture as uint8 (height, width, 3)")


def _smoother(name: str) -> Smoother | None:
    if name not in SMOOTHING_PRESETS:
        raise UsageError(f"smooth is {name!r}", f"use {', '.join(SMOOTHING_PRESETS)}")
    return None if name == "off" else Smoother(SMOOTHING_PRESETS[name])
