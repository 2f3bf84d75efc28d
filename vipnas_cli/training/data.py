"""The data sets of a recipe, read and decoded."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.clips import PersonClip, is_held_back, read_clips
from vipnas_cli.data.crowds import can_be_cut_out
from vipnas_cli.data.files.coco import LabelledImage, read_images, read_people
from vipnas_cli.data.files.image_store import ImageStore, read_image
from vipnas_cli.data.people_labels import WEIGHT_OF_VISIBILITY, LabelledPerson
from vipnas_cli.distributed import one_first
from vipnas_cli.errors import DataError
from vipnas_cli.synthetic import ClipOptions, SyntheticFrame, render_clip, render_still
from vipnas_cli.synthetic.motion import Motion
from vipnas_cli.training.recipe import DataShare, Recipe

Image = NDArray[np.uint8]
Images = Mapping[Path, Image]
SYNTHETIC_SIDE = 320
FEWEST_JOINTS = 3
Row = TypeVar("Row")


@dataclass(frozen=True)
class Folders:
    """Where data lies and where decoded images are kept."""

    data: Path
    cache: Path


@dataclass(frozen=True)
class StillSource:
    """Persons of still images with the share that each data set has in a batch."""

    images: Images
    sets: tuple[tuple[list[LabelledPerson], float], ...]

    def draw(self, generator: np.random.Generator) -> LabelledPerson:
        """A random person; the data set first, by its share."""
        return _draw(self.sets, generator)


@dataclass(frozen=True)
class ClipSource:
    """Clips of persons with the share that each data set has in a batch."""

    images: Images
    sets: tuple[tuple[list[PersonClip], float], ...]

    def draw(self, generator: np.random.Generator) -> PersonClip:
        """A random clip; the data set first, by its share."""
        return _draw(self.sets, generator)


@dataclass(frozen=True)
class PictureSource:
    """Whole pictures with all boxes, for the detector, with the share of each data set.

    `people` are persons in these pictures who can be cut out and put into others; in the `incomplete` ones there are
    people without a label.
    """

    images: Images
    sets: tuple[tuple[list[LabelledImage], float], ...]
    people: tuple[LabelledPerson, ...] = ()
    incomplete: frozenset[Path] = frozenset()

    def draw(self, generator: np.random.Generator) -> LabelledImage:
        """A random picture; the data set first, by its share."""
        return _draw(self.sets, generator)


def _draw(sets: tuple[tuple[list[Row], float], ...], generator: np.random.Generator) -> Row:
    shares = np.array([share for _, share in sets])
    rows = sets[int(generator.choice(len(sets), p=shares / shares.sum()))][0]
    return rows[int(generator.integers(len(rows)))]


def still_source(recipe: Recipe, folders: Folders) -> StillSource:
    """The persons of a recipe; frames of clips serve as stills too."""
    sets, paths, rendered = [], [], {}
    for share in recipe.data:
        if share.format == "coco":
            people = read_people(folders.data / share.path)
        elif share.format == "clips":
            people = [f for clip in _training_clips(folders, share, 1) for f in clip.frames[:: share.every]]
            people = [f for f in people if (f.weights > 0).sum() >= FEWEST_JOINTS]
        else:
            people, pictures = synthetic_people(share.count, recipe.seed)
            rendered.update(pictures)
        if share.format != "synthetic":
            paths += [person.image for person in people]
        sets.append((_filled(people, share), share.share))
    return StillSource(_images(folders, paths, rendered, _cached(recipe)), tuple(sets))


def clip_source(recipe: Recipe, folders: Folders) -> ClipSource:
    """The clips of a recipe that are long enough for one cycle."""
    sets, paths, rendered = [], [], {}
    for share in recipe.data:
        if share.format == "clips":
            clips = _training_clips(folders, share, recipe.followers + 1)
            paths += [frame.image for clip in clips for frame in clip.frames]
        elif share.format == "synthetic":
            clips, pictures = _synthetic_clips(max(share.count // 20, 1), recipe.seed)
            rendered.update(pictures)
        else:
            continue
        sets.append((_filled(clips, share), share.share))
    return ClipSource(_images(folders, paths, rendered, _cached(recipe)), tuple(sets))


def picture_source(recipe: Recipe, folders: Folders) -> PictureSource:
    """The pictures of a recipe with all their boxes."""
    sets, paths, rendered = [], [], {}
    people: list[LabelledPerson] = []
    incomplete: set[Path] = set()
    for share in recipe.data:
        if share.format == "coco":
            rows = read_images(folders.data / share.path)
            paths += [row.image for row in rows]
            people += [person for person in read_people(folders.data / share.path) if can_be_cut_out(person)]
            incomplete |= set() if share.complete else {row.image for row in rows}
        elif share.format == "synthetic":
            rows, pictures = _synthetic_pictures(share.count, recipe.seed)
            rendered.update(pictures)
        else:
            continue
        sets.append((_filled(rows, share), share.share))
    images = _images(folders, paths, rendered, _cached(recipe))
    return PictureSource(images, tuple(sets), tuple(people), frozenset(incomplete))


def _training_clips(folders: Folders, share: DataShare, shortest: int) -> list[PersonClip]:
    clips = read_clips(folders.data / share.path, "train", shortest)
    return [clip for clip in clips if not is_held_back(clip.sequence, share.held_back)]


def _filled(rows: list[Row], share: DataShare) -> list[Row]:
    if not rows:
        raise DataError(f"{share.format} data {share.path!r} holds nothing to train on", "check the path in the recipe")
    return rows


def _cached(recipe: Recipe) -> bool:
    return all(share.cached for share in recipe.data)


class _Files(Mapping[Path, Image]):
    """Images read whenever they are asked for."""

    def __getitem__(self, path: Path) -> Image:
        return read_image(path)

    def __iter__(self) -> Iterator[Path]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _images(folders: Folders, paths: list[Path], rendered: dict[Path, Image], cached: bool) -> Images:
    if not paths:
        return rendered
    if not cached:
        return ChainMap(rendered, _Files())  # type: ignore[arg-type]
    with one_first():
        store = ImageStore.open(folders.cache, paths)
    return ChainMap(rendered, store)  # type: ignore[arg-type]


def _stills(count: int, seed: int) -> list[tuple[Path, SyntheticFrame]]:
    generator = np.random.default_rng(seed)
    frames = (render_still(generator, SYNTHETIC_SIDE, SYNTHETIC_SIDE) for _ in range(count))
    return [(Path(f"synthetic/{index:06d}"), frame) for index, frame in enumerate(frames)]


def _person(path: Path, frame: SyntheticFrame, index: int) -> LabelledPerson:
    weights = np.asarray(WEIGHT_OF_VISIBILITY, np.float32)[frame.visibility[index]]
    return LabelledPerson(path, frame.boxes_frame[index], frame.points_frame[index], weights)


def synthetic_people(count: int, seed: int) -> tuple[list[LabelledPerson], dict[Path, Image]]:
    """The people of `count` synthetic pictures that can be trained on, and the pictures."""
    stills = _stills(count, seed)
    people = [_person(path, frame, index) for path, frame in stills for index in range(len(frame.ids))]
    usable = [person for person in people if (person.weights == 1).sum() >= FEWEST_JOINTS]
    return usable, {path: frame.image for path, frame in stills}


def _synthetic_pictures(count: int, seed: int) -> tuple[list[LabelledImage], dict[Path, Image]]:
    nothing = np.zeros((0, 4), np.float32)
    stills = _stills(count, seed)
    rows = [LabelledImage(path, SYNTHETIC_SIDE, SYNTHETIC_SIDE, frame.boxes_frame, nothing) for path, frame in stills]
    return rows, {path: frame.image for path, frame in stills}


def _synthetic_clips(count: int, seed: int) -> tuple[list[PersonClip], dict[Path, Image]]:
    """Clips of one second; each person of a clip is a clip of its own as long as enough of it shows."""
    generator = np.random.default_rng(seed + 1)
    clips, pictures = [], {}
    for number in range(count):
        motions = tuple(generator.choice(get_args(Motion), 2).tolist())
        crossing = bool(generator.random() < 0.5)
        options = ClipOptions(270, 480, 24, people=int(generator.integers(1, 3)), motions=motions, crossing=crossing)
        tracks: dict[int, list[LabelledPerson]] = {}
        for index, frame in enumerate(render_clip(generator, options)):
            path = Path(f"synthetic/clip{number:04d}/{index:06d}")
            pictures[path] = frame.image
            for row, identity in enumerate(frame.ids.tolist()):
                person = _person(path, frame, row)
                if (person.weights == 1).sum() >= FEWEST_JOINTS:
                    tracks.setdefault(identity, []).append(person)
        clips += [PersonClip(f"synthetic{number}", tuple(t)) for t in tracks.values() if len(t) == options.frames]
    return clips, pictures
