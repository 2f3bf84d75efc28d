"""What may be typed at each command, and that an option is written once: in the record that the job gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from vipnas_cli.cli.app import app
from vipnas_cli.cli.command import command
from vipnas_cli.cli.export import ExportJobOptions
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.errors import UsageError
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.inference.threads import MOST_THREADS
from vipnas_cli.inference.tracker import TrackerOptions
from vipnas_cli.media.pictures import PICTURE_RATE

# Names as typed, and defaults that are not "none" or "off".
COMMANDS = {
    "run": """
        INPUT --start --end --stride=1 --picture-rate=25.0 --live/--no-live --jobs/-j=1 --skip-existing --shard
        --budget/-b --weights --threads=0 --provider=auto --boxes --detect-every --detector-size
        --verify/--no-verify --max-people=20
        --person --roi --out/-o --angles --smooth=auto --overwrite --audio/--no-audio=True
        --steadiness --background=picture --blur-faces --trails=0.0 --trail-of --bar/--no-bar=True
        --json --quiet/-q --verbose/-v --progress=auto --log-file
    """,
    "report": """
        RESULT... --out/-o --pictures/--no-pictures=True --blur-faces --overwrite --quiet/-q
    """,
    "convert": """
        POSES --out/-o --overwrite --quiet/-q
    """,
    "train": """
        RECIPE --data --out/-o --init --key --teacher --detector --spec --resume --steps --device=auto --threads=0
        --compile/--no-compile=True --cache=cache --tensorboard
    """,
    "search": """
        MODE=temporal --frames --budget/-b=0.2GFLOPs --evaluations/-n=144 --alike --without --method=evolution
        --predictor/--no-predictor=True --baselines --seed=0 --weights --space --key --compare --data --clips=96
        --check-clips=0 --latency-table --measure --out/-o --resume --workers=0 --threads=1 --json --quiet/-q
    """,
    "export": """
        --out/-o [CHECKPOINT|SPEC]... --spec --data --detector --threshold=0.3 --verifier
        --verifier-threshold=0.4 --fp16-weights/--fp32-weights --int8 --calibrate --decode --name --score
        --format=onnx --json
    """,
    "import": """
        [FILE] --detector --into --detector-size --letterbox --person-class --threshold --out/-o --name --source=
        --licence=not stated --overwrite --size --colour --mean --std --grid --padding --list --json
    """,
    "bench": """
        --pipeline --threads --provider=auto --seconds=1.0 --weights --clip --csv --overwrite --json
    """,
    "latency-table": """
        --space=fast --out/-o --threads=1 --check=0 --table --seed=0 --overwrite --json --quiet/-q
    """,
    "models": """
        --weights --json
    """,
    "info": """
        FILE|DIR --json
    """,
    "config show": """
        --origin --json
    """,
    "doctor": """
        --json
    """,
    "eval posetrack": """
        --data --split=val --predictions --boxes=gt --weights --budget/-b --flip
        --early-keys/--no-early-keys=True --joint-score --mot=poseval --out/-o --plots --workers=0 --threads=0
        --provider=auto --json --quiet/-q
    """,
    "eval coco": """
        --data --predictions --boxes=gt --weights --budget/-b --flip --out/-o --plots --workers=0 --threads=0
        --provider=auto --json --quiet/-q
    """,
    "eval selection": """
        --stills --people --frames=8 --seed=0 --clips --held-back=0.1 --clip-frames=16 --weights --record --pipeline
        --threads=0 --provider=auto --json --quiet/-q
    """,
    "eval steadiness": """
        CLIP... --weights --budget/-b --smooth=off --threads=0 --provider=auto --json --quiet/-q
    """,
    "eval people": """
        --data --weights --min-height=0.15 --threshold --detector-size --verify/--no-verify --verifier
        --distinct/--no-distinct=True --threads=0 --provider=auto --json --quiet/-q
    """,
    "data check": """
        FOLDER|FILE --pictures/--no-pictures=True --json --quiet/-q
    """,
}


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """All commands that do something, by what is typed."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from commands(one, f"{before}{name} ")
        else:
            yield before + name, one


def shown(parameter: Any) -> str:
    names = "/".join((*parameter.opts, *parameter.secondary_opts))
    name = names if parameter.param_type_name == "option" else (parameter.metavar or parameter.name).upper()
    default = getattr(parameter.default, "value", parameter.default)
    return name if any(default is none for none in (None, False, ...)) else f"{name}={default}"


def test_the_options_of_every_command_stay() -> None:
    found = {
        name: " ".join(shown(parameter) for parameter in one.params if parameter.name != "help")
        for name, one in commands(typer.main.get_command(app))
    }
    assert found == {name: " ".join(text.split()) for name, text in COMMANDS.items()}


@pytest.mark.parametrize(
    "words",
    ["run x", "train x", "search", "latency-table", "bench", "eval coco", "eval posetrack", "eval people"],
)
def test_threads_and_processes_are_bounded(words: str) -> None:
    for option in re.findall("--(?:threads|workers)", COMMANDS[words.removesuffix(" x")]):
        result = CliRunner().invoke(app, [*words.split(), option, "100000"])
        assert result.exit_code == 2 or isinstance(result.exception, UsageError)
        assert str(MOST_THREADS) in f"{result.output} {result.exception}"


@pytest.mark.parametrize("text", ["a=nan", "a=-inf", "a=1e999", "=1", "a", "a=b"])
def test_a_score_is_a_name_and_a_number(text: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=NUMBER"):
        _ = ExportJobOptions(Path("x.vipnas"), score=(text,)).scores


@dataclass(frozen=True)
class Fruit:
    """The options of the command below."""

    name: Annotated[str, typer.Argument()]
    again: Annotated[tuple[int, ...], typer.Option("--again", "-a")] = ()
    ripe: Annotated[bool, typer.Option()] = True
    secret: Annotated[int, typer.Option()] = field(default=7, init=False)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["apple"], Fruit("apple")),
        (["fig", "-a", "1", "--again", "2", "--no-ripe"], Fruit("fig", again=(1, 2), ripe=False)),
    ],
)
def test_a_job_gets_the_record_that_was_typed(typed: list[str], expected: Fruit) -> None:
    got = []
    small = typer.Typer()

    @command(small, __name__)
    def eat(options: Fruit) -> None:
        """Eat it."""
        got.append(options)

    assert CliRunner().invoke(small, typed).exit_code == 0
    assert got == [expected]
    assert "Eat it." in CliRunner().invoke(small, ["--help"]).output
    assert CliRunner().invoke(small, ["apple", "--secret", "1"]).exit_code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_no_word_of_a_help_is_cut_off_at_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    text = CliRunner().invoke(app, [*name.split(), "--help"]).output
    assert "--" in text
    assert "…" not in text.replace("--no-python … vipnas search …", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_tells_of_a_command_what_its_own_page_begins_with(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    *group, own = name.split()
    overview = CliRunner().invoke(app, [*group, "--help"]).output
    page = CliRunner().invoke(app, [*name.split(), "--help"]).output
    _, first, *_ = [line.strip() for line in page.splitlines() if line.strip()]
    assert re.search(rf"^│ {own} +{re.escape(first)} +│$", overview, re.MULTILINE)


def test_defaults_that_are_known_without_loading_anything_are_those_of_the_library() -> None:
    options = RunOptions(("clip.mp4",))
    assert options.max_people == TrackerOptions.max_people == PropagationOptions.max_people
    assert options.picture_rate == PICTURE_RATE
