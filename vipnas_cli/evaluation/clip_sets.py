"""The fixed clips of a search: those that candidates are scored on, and those that recalibrate batch norms.

From a data folder: COCO files with `val` in their name and, of PoseTrack-style folders, the sequences of `train` that
trainings hold back are scored on; COCO files and sequences that trainings use recalibrate. Without a folder both are
synthetic. A still becomes a clip by a camera that pans over it (see `walked_over`).
Shapes: C clips, N frames, K keypoints.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.clips import PersonClip, is_held_back, read_clips
from vipnas_cli.data.files.coco import read_people
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.data.walks import walked_over
from vipnas_cli.errors import DataError
from vipnas_cli.metrics import limbs_of
from vipnas_cli.pose import COCO17
from vipnas_cli.synthetic import ClipOptions, render_clip
from vipnas_cli.synthetic.motion import Motion

Image = NDArray[np.uint8]
LIMBS = limbs_of(COCO17)
# Persons with fewer surely labelled limbs, or smaller ones, say little about a network.
FEWEST_LIMBS, SMALLEST_SIDE = 6, 40.0
# Frames between the ends of a clip show too little motion otherwise.
HELD_BACK = 0.1
# Scores are comparable only on the same clips, so these do not depend on the seed of the search.
SEED = 20
DEEPEST = 4
# People fill about two thirds of the height of a synthetic picture.
SYNTHETIC_SIZE = (192, 256)


NEEDS = "it needs annotations/*val*.json and *train*.json of COCO, or annotations/train/ of PoseTrack18"
NEEDS_STILLS = "a key network alone needs stills, not clips: annotations/*val*.json and *train*.json of COCO"


@dataclass(frozen=True)
class ClipSet:
    """Clips of equally many frames, their pictures by path, and what they are in words.

    The boxes of the frames err as those of a detector would: by 5 % in place and 8 % in size.
    """

    clips: tuple[PersonClip, ...]
    pictures: Mapping[Path, Image]
    about: str

    def frames(self, position: int) -> list[LabelledPerson]:
        """The person of each clip at a position."""
        return [clip.frames[position] for clip in self.clips]

    @property
    def strides(self) -> NDArray[np.int64]:
        """How many frames of its sequence each clip (C,) goes on from frame to frame."""
        return np.array([clip.stride for clip in self.clips], np.int64)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that depend on all labels and pixels."""
        found = hashlib.sha256()
        for clip in self.clips:
            for frame in clip.frames:
                for array in (frame.box_frame, frame.points_frame, frame.weights, self.pictures[frame.image]):
                    found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:12]


@dataclass(frozen=True)
class ClipSets:
    """What a search scores on, what it recalibrates with, and other clips to check its winners on, if asked for."""

    scored: ClipSet
    calibration: ClipSet
    checks: ClipSet | None = None


@dataclass(frozen=True)
class SetSizes:
    """How many clips of how many frames; `checks` share no picture and no video with those that are scored on."""

    scored: int
    calibration: int
    frames: int
    checks: int = 0


def clip_sets(data: Path | None, sizes: SetSizes) -> ClipSets:
    """The clips of a data folder, synthetic ones without; DataError if the folder has nothing to score on."""
    if data is None:
        scored, calibration = (
            _synthetic(count, sizes.frames, SEED + row) for row, count in enumerate((sizes.scored, sizes.calibration))
        )
        return ClipSets(scored, calibration, _synthetic(sizes.checks, sizes.frames, SEED + 2) if sizes.checks else None)
    files, folders = _labels(data)
    clips = [(folder, read_clips(folder, "train", sizes.frames)) for folder in folders]
    found, sources = [], []
    for word, held_back, count in (("val", True, sizes.scored), ("train", False, sizes.calibration)):
        generator = np.random.default_rng(SEED)
        people = [p for file in files if word in file.name for p in read_people(file, FEWEST_LIMBS) if usable(p)]
        videos = [c for _, rows in clips for c in rows if is_held_back(c.sequence, HELD_BACK) == held_back]
        sources.append(_Source(people, videos))
        found.append(_mixed(sources[-1], (count, sizes.frames), generator))
    for part, word in zip(found, ("score on", "recalibrate with"), strict=True):
        if not part.clips:
            raise DataError(f"{data} holds nothing to {word}", NEEDS_STILLS if sizes.frames == 1 else NEEDS)
    if not sizes.checks:
        return ClipSets(found[0], found[1])
    others = _without(sources[0], found[0])
    checks = _mixed(others, (sizes.checks, sizes.frames), np.random.default_rng(SEED + 2))
    if not checks.clips:
        raise DataError(f"{data} holds no clips beside those that score", "lower --clips or leave out --check-clips")
    return ClipSets(found[0], found[1], checks)


@dataclass(frozen=True)
class _Source:
    """What clips are made of: people in stills, and videos."""

    people: Sequence[LabelledPerson]
    videos: Sequence[PersonClip]


def _without(source: _Source, used: ClipSet) -> _Source:
    """The source without the pictures and videos of a set."""
    # A clip made of a still has the name of the picture.
    stills = {clip.sequence for clip in used.clips if clip.still}
    videos = {clip.group for clip in used.clips if not clip.still}
    people = [person for person in source.people if person.image.stem not in stills]
    return _Source(people, [clip for clip in source.videos if clip.group not in videos])


def usable(person: LabelledPerson) -> bool:
    """Whether enough of a person is surely labelled, and large enough, to score on."""
    sure = (person.weights[LIMBS] == 1).sum() >= FEWEST_LIMBS
    return bool(sure and (person.box_frame[2:] - person.box_frame[:2]).max() >= SMALLEST_SIDE)


def _labels(data: Path) -> tuple[list[Path], list[Path]]:
    """COCO files, and the folders that hold annotations/train/*.json, at most a few folders below `data`."""
    if not data.is_dir():
        raise DataError(f"the data folder {data} does not exist", "check --data")
    files, folders = [], []
    for name, below, _ in os.walk(data, followlinks=True):
        folder = Path(name)
        if (folder / "annotations").is_dir():
            files += [path for path in (folder / "annotations").glob("*.json*") if path.is_file()]
            if (folder / "annotations" / "train").is_dir():
                folders.append(folder)
        # Folders of pictures are large and hold no labels.
        deep = len(folder.relative_to(data).parts) >= DEEPEST
        below[:] = [] if deep else sorted(set(below) - {"images", "annotations"})
    return sorted(files), sorted(folders)


def _mixed(source: _Source, shape: tuple[int, int], generator: np.random.Generator) -> ClipSet:
    """Half of the clips from videos and half from stills, as far as there are both; stills alone for single frames."""
    (count, frames), people, videos = shape, source.people, source.videos
    cut = [] if frames == 1 else _cut(videos, (count // 2 if people else count), frames, generator)
    chosen = [people[row] for row in generator.permutation(len(people))[: count - len(cut)]]
    walks, pictures = walked_over(chosen, frames, generator)
    for clip in cut:
        pictures |= {frame.image: read_image(frame.image) for frame in clip.frames}
    about = f"{len(cut)} clips of video and {len(walks)} stills" if frames > 1 else f"{len(walks)} stills"
    return ClipSet((*cut, *walks), pictures, about)


def _cut(videos: Sequence[PersonClip], count: int, frames: int, generator: np.random.Generator) -> list[PersonClip]:
    """Stretches of `frames` frames, at most one of each person in a clip, in which enough is labelled."""
    found: list[PersonClip] = []
    for row in generator.permutation(len(videos)):
        if len(found) == count:
            break
        clip = videos[row]
        # Every second frame where the video is long enough: more happens between two of them.
        stride = 2 if len(clip.frames) >= 2 * frames else 1
        first = int(generator.integers(len(clip.frames) - stride * (frames - 1)))
        part = clip.frames[first : first + stride * (frames - 1) + 1 : stride]
        if all(map(usable, part)):
            found.append(replace(clip, frames=tuple(erring(frame, generator) for frame in part), stride=stride))
    return found


def erring(person: LabelledPerson, generator: np.random.Generator) -> LabelledPerson:
    """The person with a box as a detector would give it."""
    size = person.box_frame[2:] - person.box_frame[:2]
    middle = (person.box_frame[:2] + person.box_frame[2:]) / 2 + generator.normal(0, 0.05, 2) * size
    half = size / 2 * np.exp(generator.normal(0, 0.08, 2))
    return replace(person, box_frame=np.concatenate([middle - half, middle + half]).astype(np.float32))


def _synthetic(count: int, frames: int, seed: int) -> ClipSet:
    """Clips of synthetic people who do different things."""
    generator = np.random.default_rng(seed)
    clips: list[PersonClip] = []
    pictures: dict[Path, Image] = {}
    for scene in range(10 * count):
        motions = tuple(generator.choice(get_args(Motion), 2).tolist())
        options = ClipOptions(
            *SYNTHETIC_SIZE, frames, people=2, motions=motions, crossing=bool(generator.random() < 0.5)
        )
        tracks: dict[int, list[LabelledPerson]] = {}
        for index, frame in enumerate(render_clip(generator, options)):
            path = Path(f"synthetic/{scene:04d}/{index:06d}")
            pictures[path] = frame.image
            for row, identity in enumerate(frame.ids.tolist()):
                weights = np.asarray((0.0, 0.3, 1.0), np.float32)[frame.visibility[row]]
                person = LabelledPerson(path, frame.boxes_frame[row], frame.points_frame[row], weights)
                tracks.setdefault(identity, []).append(erring(person, generator))
        for track in tracks.values():
            if len(track) == frames and all(map(usable, track)) and len(clips) < count:
                clips.append(PersonClip(f"synthetic{scene}", tuple(track)))
        if len(clips) == count:
            break
    return ClipSet(tuple(clips), pictures, f"{len(clips)} synthetic clips")
