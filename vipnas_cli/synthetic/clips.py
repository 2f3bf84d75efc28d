"""Clips of synthetic people who walk, run, cross each other and do sports, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vipnas_cli.errors import UsageError
from vipnas_cli.synthetic.body import Body, body_of
from vipnas_cli.synthetic.looks import random_look
from vipnas_cli.synthetic.motion import Motion, moving_pose, stride_of
from vipnas_cli.synthetic.render import Actor, SyntheticFrame, render
from vipnas_cli.synthetic.scene import Camera, Surface, column
from vipnas_cli.synthetic.skeleton import Pose, Reals
from vipnas_cli.synthetic.surroundings import bench, random_scene, surface_of

_DETAIL = 1.5
# How much of the picture's height a person of 1.75 m fills.
_SHARE = 0.66
_BLEND_S = 0.45
# Cycles a second of what is done on the spot.
_TEMPO = {"wave": 1.1, "jumping_jack": 0.85, "squat": 0.45, "kick": 0.5, "throw": 0.45}


@dataclass(frozen=True)
class ClipOptions:
    """What a clip shows: its size in pixels, `frames` at `rate` per second, how many people and what they do.

    Person i does `motions[i % len(motions)]`; with `crossing` all first walk or run across and pass each other; with
    `occluder` a pillar stands between their ways. UsageError for values that make no clip.
    """

    height: int = 360
    width: int = 640
    frames: int = 175
    rate: float = 25.0
    people: int = 2
    motions: tuple[Motion, ...] = ("wave", "jumping_jack")
    crossing: bool = True
    occluder: bool = True

    def __post_init__(self) -> None:
        least = {"height": 16, "width": 16, "frames": 1, "people": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UsageError(
                    f"{name} is {getattr(self, name)}, a clip needs at least {value}", f"Give a larger {name}."
                )
        if not self.rate > 0 or not self.motions:
            raise UsageError("a clip needs a rate above 0 and at least one motion", "Set rate and motions.")


@dataclass(frozen=True)
class _Act:
    """One thing that a person does from `start` to `stop` (seconds), on the way from `begin` to `end` (3,), metres."""

    motion: Motion
    start: float
    stop: float
    begin: Reals
    end: Reals
    heading: float

    def place(self, time: float) -> Reals:
        share = np.clip((time - self.start) / (self.stop - self.start), 0.0, 1.0)
        place: Reals = self.begin + share * (self.end - self.begin)
        return place

    def pose(self, time: float, height: float) -> Pose:
        stride = stride_of(self.motion, height)
        if stride:
            phase = float(np.linalg.norm(self.place(time) - self.begin)) / stride
        else:
            phase = (time - self.start) * _TEMPO.get(self.motion, 0.3)
        return moving_pose(self.motion, phase).facing(self.heading)


@dataclass(frozen=True)
class _Performer:
    """A person with the acts that follow each other."""

    id: int
    body: Body
    acts: tuple[_Act, ...]

    def at(self, time: float) -> Actor:
        """The performer at `time` in seconds; one act flows into the next."""
        height = self.body.look.proportions.height
        number = max(i for i, act in enumerate(self.acts) if i == 0 or act.start <= time)
        act = self.acts[number]
        pose = act.pose(time, height)
        if number and time < act.start + _BLEND_S:
            share = (time - act.start) / _BLEND_S
            pose = self.acts[number - 1].pose(act.start, height).blended(pose, share * share * (3.0 - 2.0 * share))
        return Actor(self.id, self.body, pose, act.place(time))


def render_clip(generator: np.random.Generator, options: ClipOptions) -> Iterator[SyntheticFrame]:
    """The frames of a clip, one by one; the same state of the generator gives the same clip.

    Ids are 1, 2, … and mean the same person in all frames; who is not seen in a frame is not in it.
    """
    scene = random_scene(generator, grain=0.25 * options.height)
    half_width = _distance(options) * options.width / (2 * _focal(options))
    performers = [_performer(generator, options, index, half_width) for index in range(options.people)]
    scene = replace(scene, wall_distance=max(scene.wall_distance, 2.0 + 0.9 * options.people))
    if options.occluder:
        scene = replace(scene, props=_furniture(generator, half_width))
    sway = generator.uniform(0.0, 2 * np.pi, 8)
    for number in range(options.frames):
        time = number / options.rate
        yield render(scene, _camera(options, time, sway), [performer.at(time) for performer in performers])


def _focal(options: ClipOptions) -> float:
    return 1.15 * options.width


def _distance(options: ClipOptions) -> float:
    return _focal(options) * 1.75 / (_SHARE * options.height)


def _camera(options: ClipOptions, time: float, sway: Reals) -> Camera:
    """A hand-held camera that pans and zooms a little; `sway` (8,) are the phases of its unrest."""
    slow, quick = np.sin(0.7 * time + sway[:4]), np.sin(5.3 * time + sway[4:])
    away = _distance(options)
    position = (0.10 * slow[0] + 0.004 * quick[0], 1.25 + 0.04 * slow[1], away)
    return Camera(
        options.height,
        options.width,
        (float(position[0]), float(position[1]), float(position[2])),
        _focal(options) * (1.0 + 0.03 * float(slow[2])),
        yaw=float(0.022 * slow[3] + 0.0012 * quick[1]),
        pitch=float(0.055 + 0.0010 * quick[2]),
        roll=float(0.0015 * quick[3]),
    )


def _performer(generator: np.random.Generator, options: ClipOptions, index: int, half_width: float) -> _Performer:
    body = body_of(random_look(generator), generator, _DETAIL)
    seconds = options.frames / options.rate
    side = -1.0 if index % 2 == 0 else 1.0
    lane = 0.35 - 0.9 * index
    motion = options.motions[index % len(options.motions)]
    if options.crossing:
        gait: Motion = "run" if index % 2 else "walk"
        begin = np.array([0.7 * side * half_width, 0.0, lane])
        end = np.array([-0.42 * side * half_width + 0.25 * (index // 2), 0.0, lane])
        acts = _crossing(gait, motion, begin, end, seconds)
    else:
        x = half_width * ((index + 0.5) / options.people * 1.5 - 0.75)
        begin = np.array([x, 0.0, 0.2 - 0.4 * (index % 2)])
        heading = float(generator.uniform(-0.5, 0.5))
        acts = _alone(motion, begin, heading, 0.8 * half_width, seconds)
    return _Performer(index + 1, body, acts)


def _crossing(gait: Motion, motion: Motion, begin: Reals, end: Reals, seconds: float) -> tuple[_Act, ...]:
    """Walk or run from `begin` to `end`, then turn to the viewer and do `motion`."""
    way = end - begin
    speed = 1.25 if gait == "walk" else 2.1
    wait = 0.0 if gait == "walk" else 0.13 * seconds
    travel = min(float(np.linalg.norm(way)) / speed, 0.6 * seconds)
    heading = float(np.arctan2(way[0], way[2]))
    acts = [_Act(gait, wait, wait + travel, begin, end, heading)]
    if wait:
        acts.insert(0, _Act("stand", 0.0, wait, begin, begin, 0.5 * heading))
    return (*acts, _Act(motion, wait + travel, seconds + 1.0, end, end, 0.25 * heading))


def _alone(motion: Motion, begin: Reals, heading: float, reach: float, seconds: float) -> tuple[_Act, ...]:
    """Do `motion` all the time: on the spot, or across the picture if it is a gait."""
    if motion not in ("walk", "run"):
        return (_Act(motion, 0.0, seconds + 1.0, begin, begin, heading),)
    side = 1.0 if begin[0] <= 0 else -1.0
    start, stop = begin * (0.0, 0.0, 1.0) - (side * reach, 0.0, 0.0), begin * (0.0, 0.0, 1.0) + (side * reach, 0.0, 0.0)
    speed = 1.25 if motion == "walk" else 2.4
    travel = 2.0 * reach / speed
    # Back and forth until the clip ends.
    laps = int(seconds / travel) + 1
    ways = [(start, stop) if lap % 2 == 0 else (stop, start) for lap in range(laps)]
    return tuple(
        _Act(motion, lap * travel, (lap + 1) * travel, a, b, float(np.arctan2(b[0] - a[0], b[2] - a[2])))
        for lap, (a, b) in enumerate(ways)
    )


def _furniture(generator: np.random.Generator, half_width: float) -> tuple[Surface, ...]:
    """A pillar between the first two ways and a bench at the wall."""
    colour = generator.uniform(0.3, 0.75) + generator.normal(0.0, 0.05, 3)
    tones = np.clip(colour + generator.normal(0.0, 0.02, (16, 3)), 0.05, 0.95)
    pillar = surface_of([column(np.array([0.34 * half_width, 0.0, -0.1]), 0.12, 3.5, tones)])
    return pillar, bench(np.array([-0.5 * half_width, 0.0, -1.6]), 0.1, np.array([0.45, 0.30, 0.17]))
