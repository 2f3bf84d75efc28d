"""The comparison with a plain loop: its pre- and post-processing are right, and it runs on real networks."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PEERS = Path(os.environ.get("VIPNAS_TEST_DATA", "/nowhere")) / "peers"


@pytest.fixture(scope="module")
def peer_loop(load_example: Callable[[str], ModuleType]) -> ModuleType:
    """The program as a module."""
    return load_example("peer_loop")


@pytest.mark.parametrize("point", [(20.0, 30.0), (20.3, 30.4), (7.6, 11.9), (41.25, 50.75)])
def test_a_painted_peak_is_found_where_it_lies_in_the_frame(peer_loop: ModuleType, point: tuple[float, float]) -> None:
    affine = peer_loop.crop_affine(np.array([100, 50, 300, 350], np.float32), 256, 192)
    columns, rows = np.meshgrid(np.arange(48), np.arange(64))
    heatmap = np.exp(-((columns - point[0]) ** 2 + (rows - point[1]) ** 2) / 8).astype(np.float32)
    points, scores = peer_loop.decoded(heatmap[None], affine)
    again = affine[:, :2] @ points[0] + affine[:, 2]
    assert again / 4 == pytest.approx(point, abs=0.05)
    assert 0.9 < scores[0] <= 1


def test_the_box_lies_in_the_middle_of_its_crop(peer_loop: ModuleType) -> None:
    affine = peer_loop.crop_affine(np.array([100, 50, 300, 350], np.float32), 256, 192)
    assert affine[:, :2] @ [200, 200] + affine[:, 2] == pytest.approx([96, 128], abs=1e-3)
    assert affine[0, 0] * 300 * 1.25 == pytest.approx(256, abs=1e-3)


@pytest.mark.skipif(not PEERS.is_dir(), reason="VIPNAS_TEST_DATA has no peers")
def test_all_loops_run_on_a_clip(
    peer_loop: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "rows.csv"
    networks = ["--detector", PEERS / "rtmdet_nano_person_320.onnx", "--pose", PEERS / "pp_tinypose_256x192.onnx"]
    arguments = ["peer_loop", EXAMPLES / "two_people.mp4", *networks, "--repeats", 1, "--csv", table]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    peer_loop.main()
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["frames"] for row in rows} == {"175"}
    assert [row["loop"] for row in rows[:2]] == [f"plain, detector on every {n}frame" for n in ("", "10th ")]
    assert len(rows) > 2
    assert all(float(row["fps"]) > 0 for row in rows)
    assert "two_people.mp4" in capsys.readouterr().out


def test_ratios_are_to_both_plain_loops_of_the_same_run(peer_loop: ModuleType, tmp_path: Path) -> None:
    def taking(seconds: float) -> Callable[[Path, Path], tuple[int, int]]:
        def loop(clip: Path, table: Path) -> tuple[int, int]:
            time.sleep(seconds)
            return 10, 20

        return loop

    loops = {"every": taking(0.12), "10th": taking(0.06), "ours": taking(0.03)}
    rows = peer_loop.measure(loops, Path("clip.mp4"), 1, tmp_path)
    assert [row["crops_per_frame"] for row in rows] == [2, 2, 2]
    assert (rows[0]["fps_ratio"], rows[1]["fps_ratio_10th"]) == (1, 1)
    assert rows[2]["fps_ratio"] > rows[2]["fps_ratio_10th"] > 1
