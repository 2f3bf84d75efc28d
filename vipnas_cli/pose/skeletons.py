"""Keypoint sets: names, limbs, left/right pairs and the OKS constants of each joint."""

from dataclasses import dataclass

from vipnas_cli.errors import SpecError


@dataclass(frozen=True)
class Skeleton:
    """A named set of K keypoints; `sigmas` are the COCO OKS constants, one per keypoint."""

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        if len(set(self.keypoints)) != count:
            raise SpecError(f"skeleton {self.name!r} names a keypoint twice")
        if len(self.sigmas) != count:
            raise SpecError(f"skeleton {self.name!r} has {count} keypoints but {len(self.sigmas)} sigmas")
        if any(not 0 <= end < count for limb in self.limbs for end in limb):
            raise SpecError(f"skeleton {self.name!r} has a limb that ends at no keypoint")

    def index(self, keypoint: str) -> int:
        """The position of `keypoint`; SpecError if the skeleton lacks it."""
        try:
            return self.keypoints.index(keypoint)
        except ValueError:
            raise SpecError(f"skeleton {self.name!r} has no keypoint {keypoint!r}") from None

    @property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs (left, right) that a mirrored picture exchanges."""
        return tuple(
            (i, self.index("right_" + name.removeprefix("left_")))
            for i, name in enumerate(self.keypoints)
            if name.startswith("left_")
        )

    @property
    def flip_order(self) -> tuple[int, ...]:
        """For each keypoint, the keypoint that takes its place in a mirrored picture."""
        order = list(range(len(self.keypoints)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)


def _coco17() -> Skeleton:
    names = "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow"
    names += " left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
    limbs = (
        *((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
        *((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
    )
    sides = (0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089)
    return Skeleton("coco17", tuple(names.split()), limbs, (0.026, *(s for side in sides for s in (side, side))))


def _posetrack15() -> Skeleton:
    names = "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder"
    names += " left_shoulder left_elbow left_wrist neck nose head_top"
    limbs = (
        *((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11)),
        *((8, 2), (9, 3), (12, 13), (13, 14)),
    )
    legs = (0.089, 0.087, 0.107, 0.107, 0.087, 0.089)
    arms = (0.062, 0.072, 0.079, 0.079, 0.072, 0.062)
    return Skeleton("posetrack15", tuple(names.split()), limbs, (*legs, *arms, 0.079, 0.026, 0.026))


COCO17 = _coco17()
POSETRACK15 = _posetrack15()
# The order of PoseTrack18's files: ears belong to it but are never labelled, and the neck is called head_bottom.
POSETRACK18_FILE = (
    *("nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
