"""Ctrl-C during `vipnas run` leaves a playable video and valid rows."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import av

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"


def test_an_interrupt_leaves_a_playable_video_and_valid_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from vipnas_cli.cli.app import main; main()"]
    command += ["run", str(CLIP), "-o", "out.mp4", "-o", "out.csv"]
    # A shell that starts this in the background has its children ignore the signal.
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    partial = tmp_path / ".out.partial.csv"
    # Rows are flushed as they come, so the growing file says that frames are being processed.
    while not (partial.exists() and partial.stat().st_size > 20_000) and time.monotonic() < deadline:
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert 0 < frames < 175
    assert len(rows) % 17 == 0
    assert int(rows[-1]["frame"]) < frames
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.mp4"]
