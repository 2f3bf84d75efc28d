"""What may be chosen about pose propagation, and what one step of it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vipnas_cli.arrays import Numbers
from vipnas_cli.inference.bounds import MAX_PEOPLE
from vipnas_cli.inference.changes import ChangeOptions
from vipnas_cli.inference.choosing import Focus, Region
from vipnas_cli.inference.flow import Moves
from vipnas_cli.pose import People

KeyReason = Literal["cycle", "cut", "lost", "falling", "border"]


@dataclass(frozen=True)
class PropagationOptions:
    """When to trust a pose and when to look again; scores in 0–1.

    `max_people`: more are not followed; who is followed already comes first, then those whom `focus` means. Only people
    in the `region` are. Told are all of them, or with `one` only whom the focus means, as long as that one is there, or
    with an `identity` only that one. So many `spare_boxes` are looked at for newcomers
    who turn out to be nobody.
    `lost_score`: a person below it is dropped. `new_score`: someone who was not there before needs at least this, as
    detectors take other things for people, and `new_evidence` together with how sure the source is (`evidence_of`; 0:
    whoever gives boxes means them). A found box never needs more than `new_score`, nor do followers of it.
    `shortest_cycle`: in slow video a cycle ends after so many frames already, where another follower would carry on
    what was seen more than `follow_s` seconds ago; 0: never.
    `falling_factor`: a key frame comes early when a person's score falls below this share of the score at the last key
    frame. `same_person_oks`: poses closer than this are one person. `steady_sides`: left and right of a person are kept
    as most key frames saw them, and joints that leave their path for a moment are put back (`steady_joints`), see
    JointPaths; boxes that are carried on then grow or shrink by no more than `box_growth_per_s` (in powers of e).
    `detect_every_s`: seconds that pass at least between two looks for people, as long as everyone is followed well; 0
    looks at every key frame. `search_every_s`: the same after several looks that found nobody. Up to `rest_s` seconds,
    as many as `detect_every_frames` frames pass as well, so that a look costs no more than the poses of these, and any
    number while nothing new comes into view. That time doubles with each look that finds who was there already, and
    nobody else, up to `longest_rest_s`; while someone's score is below `rest_score` there is no rest. `key_memory`: how
    far the key frame of a cycle believes its heatmaps only where the follower before saw the joint, 0: not at all.
    `memory`: the share that heatmaps before have in those of a follower where a keypoint is seen to stay; of one that
    moves they have less by a factor of e for each `memory_way` (in heights of the crop). `blind_memory`: the share
    where flow does not tell how a keypoint moved, less by a factor of e for each `memory_s` seconds.
    """

    max_people: int = MAX_PEOPLE
    focus: Focus = Focus()
    region: Region | None = None
    one: bool = False
    identity: int | None = None
    spare_boxes: int = 0
    point_score: float = 0.3
    lost_score: float = 0.3
    new_score: float = 0.45
    new_evidence: float = 0.0
    shortest_cycle: int = 0
    follow_s: float = 0.125
    falling_factor: float = 0.6
    same_person_oks: float = 0.8
    early_keys: bool = True
    fusion: bool = True
    steady_sides: bool = True
    steady_joints: bool = True
    box_growth_per_s: float = 3.0
    detect_every_s: float = 0.0
    search_every_s: float = 0.0
    detect_every_frames: int = 0
    rest_s: float = 0.0
    longest_rest_s: float = 0.0
    rest_score: float = 0.45
    key_memory: float = 0.8
    memory: float = 0.8
    memory_way: float = 0.064
    blind_memory: float = 0.5
    memory_s: float = 0.08
    changes: ChangeOptions = ChangeOptions()

    def check(self, size: tuple[int, int]) -> None:
        """InputError if the focus or the region is outside a picture of `size` (H, W)."""
        self.focus.check(size)
        if self.region is not None:
            self.region.check(size)

    def memory_shares(self, moves: Moves, gap_s: float | Numbers) -> Numbers:
        """The share (…, K) that heatmaps of `gap_s` seconds (…, 1) before have in a follower's, by how keypoints moved.

        Who stands still is where they were, however long ago that is; who moves is known less well.
        """
        blind = self.blind_memory * np.exp(-np.maximum(gap_s, 0.0) / self.memory_s)
        return np.where(moves.seen, self.memory * np.exp(-moves.ways / self.memory_way), blind)


@dataclass(frozen=True)
class Step:
    """The people of a frame, the position that computed them, why a key frame was taken, how many crops ran, whether
    people were looked for, and how many boxes were left out because there were too many; `others` are followed, but not
    told of (None: nobody)."""

    people: People
    position: int
    reason: KeyReason | None
    crops: int
    looked: bool = False
    left_out: int = 0
    others: People | None = None

    @property
    def followed(self) -> int:
        """How many people are followed, told of or not."""
        return len(self.people) + (0 if self.others is None else len(self.others))
