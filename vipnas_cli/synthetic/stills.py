"""Random single pictures of people, for training."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from vipnas_cli.synthetic.body import body_of
from vipnas_cli.synthetic.looks import random_look
from vipnas_cli.synthetic.motion import moving_pose, random_pose
from vipnas_cli.synthetic.render import Actor, SyntheticFrame, render
from vipnas_cli.synthetic.scene import Camera, Image, Surface
from vipnas_cli.synthetic.skeleton import Pose, Reals
from vipnas_cli.synthetic.surroundings import random_prop, random_scene

# Coarse enough to be quick, fine enough for a picture of a few hundred pixels.
_DETAIL = 0.75


def render_still(generator: np.random.Generator, height: int, width: int) -> SyntheticFrame:
    """One picture of `height` x `width` pixels with one to three random people in random poses and surroundings.

    Mostly whole bodies, sometimes cut by the border; the same state of the generator gives the same picture.
    """
    scene = random_scene(generator, grain=float(generator.uniform(18.0, 36.0)))
    people = int(generator.choice([1, 2, 3], p=[0.55, 0.32, 0.13]))
    # The first person is what the camera looks at; the others stand where they do not touch the first.
    places = _places(generator, people, scene.wall_distance)
    actors = [_random_actor(generator, index, place) for index, place in enumerate(places)]
    camera = _camera_on(actors[0], generator, height, width)
    scene = replace(scene, props=_random_props(generator, scene.wall_distance, camera.position[2]))
    frame = render(scene, camera, actors)
    return replace(frame, image=_developed(frame.image, generator))


def _random_actor(generator: np.random.Generator, index: int, place: Reals) -> Actor:
    body = body_of(random_look(generator), generator, _DETAIL)
    return Actor(index, body, _random_pose(generator).facing(float(generator.uniform(-np.pi, np.pi))), place)


def _random_pose(generator: np.random.Generator) -> Pose:
    if generator.random() < 0.12:
        return moving_pose("walk" if generator.random() < 0.6 else "run", float(generator.random()))
    return random_pose(generator)


def _places(generator: np.random.Generator, people: int, wall_distance: float) -> list[Reals]:
    places = [np.zeros(3)]
    for _ in range(people - 1):
        angle = generator.uniform(0.0, 2 * np.pi)
        radius = generator.uniform(0.45, 1.5)
        place = radius * np.array([np.cos(angle), 0.0, 1.1 * np.sin(angle)])
        place[2] = max(place[2], 0.8 - wall_distance)
        places.append(place)
    return places


def _camera_on(actor: Actor, generator: np.random.Generator, height: int, width: int) -> Camera:
    """A camera that has the actor somewhere in its picture, from as far as it takes for a random size."""
    vertices, keypoints, _ = actor.body.placed(actor.pose, actor.place)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    closeup = generator.random() < 0.22
    share = generator.uniform(0.95, 2.0) if closeup else generator.uniform(0.4, 0.95)
    target = keypoints[: 11 if closeup else 17].mean(axis=0) + generator.normal(0.0, 0.08, 3)
    focal = height * generator.uniform(0.9, 2.2)
    extent = max(high[1] - low[1], 0.8 * (high[0] - low[0]) * height / width, 0.5)
    away = max(1.6, focal * extent / (share * height))
    rise = float(np.clip(generator.normal(1.2, 0.5), 0.15, 2.6))
    position = (float(target[0]), rise, float(target[2]) + away)
    aside = generator.uniform(-0.25, 0.25) * width / focal * (0.5 if closeup else 1.0)
    return Camera(
        height,
        width,
        position,
        float(focal),
        yaw=float(aside),
        pitch=float(np.arctan2(rise - target[1], away)),
        roll=float(np.clip(generator.normal(0.0, 0.04), -0.12, 0.12)),
    )


def _random_props(generator: np.random.Generator, wall_distance: float, camera_z: float) -> tuple[Surface, ...]:
    """A few things behind the people and, now and then, one in front of them if the camera is not too near."""
    props = []
    for _ in range(generator.integers(0, 4)):
        place = np.array([generator.uniform(-3.0, 3.0), 0.0, generator.uniform(0.7 - wall_distance, -1.2)])
        props.append(random_prop(generator, place))
    if generator.random() < 0.3 and camera_z > 3.5:
        props.append(random_prop(generator, np.array([generator.uniform(-0.8, 0.8), 0.0, generator.uniform(0.7, 1.1)])))
    return tuple(props)


def _developed(image: Image, generator: np.random.Generator) -> Image:
    """The picture as a camera of some quality would give it: tone curve, cast, blur, noise."""
    tones = (np.arange(256)[:, None] / 255.0) ** generator.uniform(0.75, 1.25)
    middle = generator.uniform(0.4, 0.6)
    tones = (tones - middle) * generator.uniform(0.75, 1.2) + middle + generator.uniform(-0.06, 0.06)
    tones = tones * np.clip(generator.normal(1.0, 0.04, 3), 0.9, 1.1) * 255.0
    image = cv2.LUT(image, np.clip(tones, 0.0, 255.0).astype(np.uint8)[None]).astype(np.uint8)
    if generator.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.4, 1.1)).astype(np.uint8)
    noise = np.frombuffer(generator.bytes(image.size), np.uint8).reshape(image.shape)
    strength = generator.uniform(0.0, 0.12)
    return cv2.addWeighted(image, 1.0, noise, strength, -127.5 * strength).astype(np.uint8)
