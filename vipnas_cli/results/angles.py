"""Joint angles as a tidy table."""

from __future__ import annotations

import math
from pathlib import Path

from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.angles import angles_of, joint_angles
from vipnas_cli.pose.people import SURE
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.csvw import FRAME, PERSON, TIME, Column, facts_text
from vipnas_cli.results.facts import ResultHeader, table_facts
from vipnas_cli.results.sink import TextFile

MEANING = (
    "angle in the picture plane: 180 is a straight elbow, hip or knee, 0 an arm along the trunk; trunk_lean is against "
    f"the vertical, positive to the right of the picture; blank where a keypoint scores below {SURE}"
)
COLUMNS = (
    *(FRAME, TIME, PERSON),
    Column("angle", "string", "elbow, shoulder, hip, knee or trunk_lean"),
    Column("side", "string", "side of the body: left, right or middle"),
    Column("degrees", "double", MEANING, "degree"),
)


class AnglesSink(TextFile):
    """One row per frame, person and angle; frames without people have none."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        self._skeleton = skeleton
        key = ("frame", "person", "angle", "side")
        facts = facts_text(Path(path), COLUMNS, key, table_facts(header, skeleton))
        super().__init__(path, f"{','.join(column.name for column in COLUMNS)}\n", facts)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the rows of a frame; the picture is not needed."""
        people = result.people
        start = f"{result.frame_index},{result.time_s:.6f}"
        values = joint_angles(people.points_frame, people.scores, self._skeleton).tolist()
        self._add_frame(
            "".join(
                f"{start},{person},{angle.name},{angle.side},{'' if math.isnan(degrees) else f'{degrees:.1f}'}\n"
                for person, row in zip(people.ids.tolist(), values, strict=True)
                for angle, degrees in zip(angles_of(self._skeleton), row, strict=True)
            )
        )
