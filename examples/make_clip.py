"""Render the example clip two_people.mp4 and its exact truth two_people_truth.jsonl.

    python examples/make_clip.py OUT_DIR

Everything in the clip is computed, so nobody's picture is in it and the truth has no annotator's error.
Each line of the truth is one frame:

    {"frame": 0, "time_s": 0.0, "people": [{"id": 1, "box": [x0, y0, x1, y1], "keypoints": [[x, y, v], ...]}]}

in pixels, (0, 0) being the centre of the top-left pixel; the 17 keypoints are COCO's in COCO's order; v is 2 for seen,
1 for hidden by the body itself, the other person or the pillar, 0 for outside the picture. The box is tight around
what is seen of the person, who is left out of frames that do not show him or her.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vipnas_cli.synthetic import ClipOptions, SyntheticFrame, render_clip

SEED = 27
RATE = 25
OPTIONS = ClipOptions(height=360, width=640, frames=7 * RATE, rate=RATE, people=2, motions=("wave", "jumping_jack"))


def truth_line(number: int, frame: SyntheticFrame) -> str:
    """The truth of one frame as a line of JSON."""
    people = [
        {
            "id": int(person),
            "box": [round(float(edge), 1) for edge in box],
            "keypoints": [
                [round(float(x), 1), round(float(y), 1), int(v)] for (x, y), v in zip(points, visibility, strict=True)
            ],
        }
        for person, box, points, visibility in zip(
            frame.ids, frame.boxes_frame, frame.points_frame, frame.visibility, strict=True
        )
    ]
    return json.dumps({"frame": number, "time_s": number / RATE, "people": people}, separators=(",", ":"))


def main() -> None:
    """Write both files into the folder given on the command line."""
    parser = argparse.ArgumentParser(description="Render two_people.mp4 and two_people_truth.jsonl.")
    parser.add_argument("out_dir", type=Path)
    folder: Path = parser.parse_args().out_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"{folder} cannot be a folder: {error.strerror}")
    lines = []
    with av.open(str(folder / "two_people.mp4"), "w") as container:
        # One thread, so that the same encoder gives the same bytes.
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "slow", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = OPTIONS.width, OPTIONS.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for number, frame in enumerate(render_clip(np.random.default_rng(SEED), OPTIONS)):
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
            lines.append(truth_line(number, frame))
        container.mux(stream.encode())
    (folder / "two_people_truth.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
