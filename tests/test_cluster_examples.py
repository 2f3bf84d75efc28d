"""The array job, the indexed job and the image: each part stays the same, and failures stay with theirs."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from vipnas_cli.errors import InputError, UsageError, WeightsError

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SLURM, KUBERNETES = EXAMPLES / "slurm_array.sh", EXAMPLES / "kubernetes_job.yaml"


def slurm(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the script of an array job does with a `vipnas` that prints its words."""
    (folder / "vipnas").write_text('#!/bin/sh\necho "$@"\n')
    (folder / "vipnas").chmod(0o755)
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(["bash", str(SLURM), *words], capture_output=True, text=True, env=path | variables)


@pytest.mark.skipif(os.name == "nt", reason="Slurm is not for Windows")
def test_a_task_that_is_sent_again_does_its_own_part(tmp_path: Path) -> None:
    (whole,) = re.findall(r"--array=1-(\d+)$", SLURM.read_text(), re.MULTILINE)
    # As Slurm sets them for `sbatch --array=3,9`.
    alone = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "2"}
    told = slurm(tmp_path, "clips", str(tmp_path), **alone)
    assert told.returncode == 0, told.stderr
    assert f"--shard 3/{whole} " in told.stdout


@pytest.mark.skipif(os.name == "nt", reason="Slurm is not for Windows")
@pytest.mark.parametrize("words", [(), ("clips",), ("clips", "results")])
def test_what_is_missing_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    told = slurm(tmp_path, *words)
    assert told.returncode != 0
    assert "usage: sbatch" in told.stderr


def test_a_part_of_the_indexed_job_that_no_retry_helps_fails_alone() -> None:
    job = KUBERNETES.read_text()
    codes = sorted(error.exit_code for error in (UsageError, InputError, WeightsError))
    failing = r"- action: FailIndex\n +onExitCodes: {containerName: vipnas, operator: In, values: \[(.*)\]}"
    assert re.findall(failing, job) == [", ".join(map(str, codes))]
    # What Kubernetes wants beside it.
    fields = dict(re.findall(r"^ +(?:- )?(\w+): (\S+)$", job, re.MULTILINE))
    wanted = {"completionMode": "Indexed", "restartPolicy": "Never", "imagePullPolicy": "IfNotPresent"}
    assert {name: fields.get(name) for name in wanted} == wanted
    assert int(fields["backoffLimitPerIndex"]) > 0
    assert "backoffLimit" not in fields
    assert "- name: vipnas\n" in job
    assert f"--shard $((JOB_COMPLETION_INDEX + 1))/{fields['completions']} " in job


def test_the_image_is_built_from_what_the_wheel_is_made_of() -> None:
    first, *lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert first == "*"
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel, project = stated["tool"]["hatch"]["build"]["targets"]["wheel"], stated["project"]
    needed = {*wheel["only-include"], project["readme"], *project["license-files"], "pyproject.toml"}
    assert {line[1:] for line in lines if line.startswith("!")} == needed
