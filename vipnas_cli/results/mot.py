"""Boxes of people as MOTChallenge text: frame from 1, id, left, top, width, height, score, and three values of no use.

Ids are those of the run, from 0. `vipnas run --boxes` takes the file.
"""

from __future__ import annotations

from pathlib import Path

from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import written_scores
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.sink import TextFile, rounded_xywh


class MotSink(TextFile):
    """One row per frame and person; frames without people have none."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        super().__init__(path)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the rows of a frame; the picture is not needed."""
        people = result.people
        # The mean of the scores as other files have them, so that a conversion gives the same.
        scores = written_scores(people.scores).mean(1)
        self._add_frame(
            "".join(
                f"{result.frame_index + 1},{person},{left:.2f},{top:.2f},{width:.2f},{height:.2f},"
                f"{score:.3f},-1,-1,-1\n"
                for person, (left, top, width, height), score in zip(
                    people.ids.tolist(), rounded_xywh(people.boxes_frame), scores.tolist(), strict=True
                )
            )
        )
