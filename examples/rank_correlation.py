"""Does a super-network rank networks as training them does?

    python examples/rank_correlation.py SUPERNET --data DATA

Draws networks of one input size from the super-network's space, scores each with shared weights, then trains each a
little on its own from those weights, scores it again and prints Kendall's tau between both scores.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from scipy.stats import kendalltau

from vipnas_cli.errors import VipnasError
from vipnas_cli.evaluation.clip_sets import SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks
from vipnas_cli.nets.checkpoints import load_pose_net, load_super_net
from vipnas_cli.spec import Plan, Schedule
from vipnas_cli.spec.cost import plan_cost
from vipnas_cli.training.data import Folders
from vipnas_cli.training.options import LoopOptions
from vipnas_cli.training.recipe import Recipe, read_recipe
from vipnas_cli.training.runs import train
from vipnas_cli.training.start import RunPlan


def main() -> None:
    """Runs the experiment with the options of the command line."""
    options = _options()
    torch.set_num_threads(options.threads)
    height, width = options.size
    try:
        net, clips = load_super_net(options.supernet), clip_sets(options.data, SetSizes(options.people, 64, 1))
    except VipnasError as error:
        sys.exit(str(error))
    rng, scorer, rows = Random(options.seed), ClipScorer(Networks(net), clips), []
    for number in range(options.count):
        plan = Plan(replace(net.space.sample(rng), height=height, width=width))
        shared = scorer(Schedule((plan,))).mean
        with tempfile.TemporaryDirectory() as folder:
            alone = _trained_score(plan, options, Path(folder), clips)
        rows.append((shared, alone))
        macs = plan_cost(plan).macs
        print(f"{number}  {macs / 1e6:.1f} M MACs  shared {shared:.2f}  trained {alone:.2f}", flush=True)
    tau = kendalltau(*zip(*rows, strict=True))
    print(f"Kendall tau {tau.statistic:.2f} (p {tau.pvalue:.3f}) over {len(rows)} networks, {options.steps} steps each")


def _trained_score(plan: Plan, options: argparse.Namespace, folder: Path, clips: object) -> float:
    spec, out = folder / "plan.json", folder / "net.safetensors"
    spec.write_text(json.dumps(plan.to_json()), encoding="utf-8")
    run = RunPlan(
        _recipe(options), Folders(options.data, options.cache), out, (options.supernet,), compile=False, spec=spec
    )
    for _ in train(run):
        pass
    return ClipScorer(Networks(load_pose_net(out)), clips)(Schedule((plan,))).mean  # type: ignore[arg-type]


def _recipe(options: argparse.Namespace) -> Recipe:
    loop = LoopOptions(options.steps, learning_rate=5e-4, warmup=min(20, options.steps), average_decay=0.98)
    return replace(read_recipe("key-128"), batch=32, frozen_stages=0, loop=loop)


def positive(text: str) -> int:
    """A whole number above 0; ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels of a text such as 128x96; ArgumentTypeError if no network takes them."""
    found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text)
    height, width = (int(found[1]), int(found[2])) if found else (0, 0)
    if not height or not width or height % 32 or width % 32:
        raise argparse.ArgumentTypeError(f"{text} is no height x width in multiples of 32 pixels, such as 128x96")
    return height, width


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kendall's tau of a super-network's scores.")
    parser.add_argument("supernet", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--size", type=size, default="128x96", help="height x width of all networks")
    parser.add_argument("--count", type=positive, default=8)
    parser.add_argument("--steps", type=positive, default=150)
    parser.add_argument("--people", type=positive, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=positive, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
