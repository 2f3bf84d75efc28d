"""All commands of `vipnas`, with what their help says; options and work are loaded when a command is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vipnas_cli import __version__
from vipnas_cli.cli.command import command
from vipnas_cli.errors import VipnasError

if TYPE_CHECKING:
    from vipnas_cli.cli.bench import BenchOptions
    from vipnas_cli.cli.convert.options import ConvertOptions
    from vipnas_cli.cli.eval.options import CocoOptions, EvalOptions, PeopleOptions, SelectionOptions, SteadinessOptions
    from vipnas_cli.cli.export import ExportJobOptions
    from vipnas_cli.cli.import_network import ImportOptions
    from vipnas_cli.cli.latency_table import LatencyTableOptions
    from vipnas_cli.cli.options import CheckOptions, ConfigOptions, DoctorOptions, InfoOptions, ModelsOptions
    from vipnas_cli.cli.report.options import ReportOptions
    from vipnas_cli.cli.run.options import RunOptions
    from vipnas_cli.cli.search.options import SearchOptions
    from vipnas_cli.cli.train.options import TrainOptions

app = typer.Typer(
    name="vipnas",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 unreadable input, 4 weights, 5 damaged frames, 130 interrupted "
    "(Ctrl-C, SIGTERM or SIGHUP).",
)
eval_app = typer.Typer(no_args_is_help=True, help="Score a pipeline, or the results of any tool, by public protocols.")
data_app = typer.Typer(no_args_is_help=True, help="Look through labelled data before training or scoring with it.")
config_app = typer.Typer(no_args_is_help=True, help="What is set by configuration files and the environment.")
app.add_typer(eval_app, name="eval")
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vipnas {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Video human pose at a compute budget that you state.

    Every few frames a key network looks carefully; in between, light networks carry the pose on.
    """
    from vipnas_cli.cli.defaults import take_settings

    take_settings(context)


@command(app, "vipnas_cli.cli.run.options")
def run(options: RunOptions) -> None:
    """Find the poses of all people in a video, at a compute budget.

    Example: vipnas run clip.mp4 --budget 0.5GFLOPs -o out.mp4 -o out.csv
    """
    from vipnas_cli.cli.run.job import run_job

    raise typer.Exit(run_job(options))


@command(app, "vipnas_cli.cli.convert.options")
def convert(options: ConvertOptions) -> None:
    """Turn poses of `run` into other kinds of files; what a kind cannot hold is told.

    Example: vipnas convert clip.jsonl -o clip.trc -o clip.dlc.csv
    """
    from vipnas_cli.cli.convert.job import convert_job

    convert_job(options)


@command(app, "vipnas_cli.cli.report.options")
def report(options: ReportOptions) -> None:
    """Make one HTML page of a run: pictures, who is where in time, joint angles, confidence, steadiness.

    The page needs nothing else and no network.

    Example: vipnas report clip_pose.csv -o report.html
    """
    from vipnas_cli.cli.report.job import report_job

    report_job(options)


@command(app, "vipnas_cli.cli.train.options")
def train(options: TrainOptions) -> None:
    """Train a network from a recipe; Ctrl-C saves first, --resume goes on.

    Several GPUs or machines: torchrun --nproc-per-node 8 --no-python vipnas train RECIPE --data DATA

    Example: vipnas train key-128 --data DATA --out key.safetensors
    """
    from vipnas_cli.cli.train.job import list_recipes, train_job

    if options.recipe is None:
        list_recipes()
    else:
        train_job(options)


@command(app, "vipnas_cli.cli.search.options")
def search(options: SearchOptions) -> None:
    """Find the networks, fusions and allocation of compute over a cycle that score best within a budget.

    Scores are PCK@0.1 on clips that no training saw. Several machines: torchrun --no-python … vipnas search …

    Example: vipnas search --frames 4 --budget 0.2GFLOPs --data DATA -o found
    """
    try:
        from vipnas_cli.cli.search.job import search_job
    except ImportError as error:
        raise VipnasError(f"searching needs {error.name}", "pip install 'vipnas[train]'") from error
    search_job(options)


@command(eval_app, "vipnas_cli.cli.eval.options")
def posetrack(options: EvalOptions) -> None:
    """AP, MOTA and PCK on whole sequences, by the rules of poseval, with what propagation and fusion are worth.

    Example: vipnas eval posetrack --data DIR --budget 0.5GFLOPs
    """
    from vipnas_cli.cli.eval.posetrack import posetrack_job

    posetrack_job(options)


@command(eval_app, "vipnas_cli.cli.eval.options")
def coco(options: CocoOptions) -> None:
    """Keypoint AP and AR on still images, by the rules of COCO; the key network of the pipeline runs.

    Example: vipnas eval coco --data DIR/annotations/person_keypoints_val2017.json
    """
    from vipnas_cli.cli.eval.coco import coco_job

    coco_job(options)


@command(eval_app, "vipnas_cli.cli.eval.options")
def selection(options: SelectionOptions) -> None:
    """PCK@0.1 of whole pipelines, to choose among them: on walks over labelled stills, on clips no training saw.

    Example: vipnas eval selection --stills person_keypoints_val2017.json --clips DIR --held-back 0.1
    """
    from vipnas_cli.cli.eval.selection import selection_job

    selection_job(options)


@command(eval_app, "vipnas_cli.cli.eval.options")
def steadiness(options: SteadinessOptions) -> None:
    """How steady poses are, without labels: steps of 100 with a jump, a spike or exchanged sides, median acceleration.

    A step is a person in two consecutive frames; it jumps where a sure keypoint moves by more than 10 % of the person's
    height. Real motion counts too: compare settings on the same clip.

    Example: vipnas eval steadiness clip.mp4 --budget 0.2GFLOPs
    """
    from vipnas_cli.cli.eval.steadiness import steadiness_job

    steadiness_job(options)


@command(eval_app, "vipnas_cli.cli.eval.options")
def people(options: PeopleOptions) -> None:
    """Average precision, precision and recall of the person detector at IoU 0.5.

    Example: vipnas eval people --data DIR/annotations/person_keypoints_val2017.json --min-height 0.1
    """
    from vipnas_cli.cli.eval.people import people_job

    people_job(options.evaluation, options)


@command(data_app, "vipnas_cli.cli.options")
def check(options: CheckOptions) -> None:
    """Find unreadable pictures and impossible labels, with their ids; exit code 3 if there are any.

    Example: vipnas data check coco/annotations/person_keypoints_val2017.json
    """
    from vipnas_cli.cli.data_check_job import check_job

    check_job(options)


@command(config_app, "vipnas_cli.cli.options")
def show(options: ConfigOptions) -> None:
    """List what files and the environment set; all else is as --help of each command says.

    Example: vipnas config show --origin
    """
    from vipnas_cli.cli.config_job import config_job
    from vipnas_cli.cli.defaults import options_of

    config_job(options, options_of(typer.main.get_command(app)))


@command(app, "vipnas_cli.cli.export")
def export(options: ExportJobOptions) -> None:
    """Write a pipeline, or the detector, as ONNX files that `vipnas run --weights` takes.

    A file appears only if ONNX Runtime gives torch's poses.

    Example: vipnas export key.safetensors f.safetensors f.safetensors --name mine -o mine.vipnas
    """
    try:
        from vipnas_cli.cli.export_job import export_job
    except ImportError as error:
        raise VipnasError(f"exporting needs {error.name}", "pip install 'vipnas[train]'") from error
    export_job(options)


@command(app, "vipnas_cli.cli.import_network", "import")
def import_network(options: ImportOptions) -> None:
    """Make any ONNX pose network a key network: a bundle that runs it alone and with the bundled followers behind it.

    A checkpoint of the paper's authors (vipnas_mbv3, vipnas_res50 of mmpose) becomes a bundle and a checkpoint of ours.
    Heatmaps and SimCC are understood; the first 17 keypoints have to be COCO's. A person detector goes into the same
    bundle, or into one that is there.

    Example: vipnas import rtmpose.onnx --detector yolox.onnx -o mine.vipnas

    Example: vipnas import --detector rtmdet.onnx --into mine.vipnas
    """
    if options.known:
        from vipnas_cli.cli.import_known import list_known

        list_known(options.json)
        return
    try:
        from vipnas_cli.cli.import_job import import_job
    except ImportError as error:
        raise VipnasError(f"importing needs {error.name}", "pip install 'vipnas[import]'") from error
    import_job(options)


@command(app, "vipnas_cli.cli.bench")
def bench(options: BenchOptions) -> None:
    """Measure the networks and whole runs on this machine, and remember the fastest setting for `run`.

    Example: vipnas bench --threads 1,2 --csv bench.csv
    """
    from vipnas_cli.cli.bench_job import bench_job

    bench_job(options)


@command(app, "vipnas_cli.cli.latency_table")
def latency_table(options: LatencyTableOptions) -> None:
    """Measure in ONNX Runtime what the parts of a search space cost on this machine, for budgets in ms.

    A table predicts every network of the space at once: `vipnas search --budget 4ms --latency-table FILE`.

    Example: vipnas latency-table -o table.json --check 20
    """
    from vipnas_cli.cli.latency_table_job import latency_table_job

    latency_table_job(options)


@command(app, "vipnas_cli.cli.options")
def models(options: ModelsOptions) -> None:
    """List the pipelines at hand: what they cost, how fast they are on this machine, how good they are.

    Example: vipnas models
    """
    from vipnas_cli.cli.models_job import models_job

    models_job(options)


@command(app, "vipnas_cli.cli.options")
def info(options: InfoOptions) -> None:
    """Say what a file is: pipelines, a network, a checkpoint, a recipe, a specification, results, or a video.

    Example: vipnas info key-256.safetensors
    """
    from vipnas_cli.cli.info_job import info_job

    info_job(options)


@command(app, "vipnas_cli.cli.options")
def doctor(options: DoctorOptions) -> None:
    """Check that everything vipnas needs is there and works; exit code 1 if something does not.

    Example: vipnas doctor
    """
    from vipnas_cli.cli.defaults import options_of
    from vipnas_cli.cli.doctor_job import doctor_job

    raise typer.Exit(doctor_job(options, lambda: options_of(typer.main.get_command(app))))
