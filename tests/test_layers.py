"""The layers of the package: who may import whom, where torch may be seen, and what the base install can do without."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vipnas_cli

PACKAGE = Path(vipnas_cli.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# Row 0: what every module may use.
GROUND = {"errors", "files", "locks", "folders", "arrays", "documents", "timing"}
ROWS = {
    **dict.fromkeys(["spec", "pose"], 1),
    **dict.fromkeys(["nets", "media", "metrics", "tracking", "bundle", "synthetic", "distributed"], 2),
    **dict.fromkeys(["data", "results"], 3),
    "inference": 4,
    **dict.fromkeys(["evaluation", "onnx", "report"], 5),
    **dict.fromkeys(["latency", "export", "foreign", "training"], 6),
    **dict.fromkeys(["api", "search"], 7),
    "cli": 8,
}
WITH_TORCH = {"foreign", "nets", "training", "distributed", "export", "onnx"}
TORCH_MODULES = {
    "inference/torch.py",
    "inference/frozen.py",
    "evaluation/cycles.py",
    *(f"latency/{name}.py" for name in ("lanes", "measure", "model", "probe")),
}
WITHOUT_TORCH = [
    *("spec.cost", "pose", "media", "metrics", "tracking", "bundle.reader", "results.kinds"),
    *(
        "inference.onnx",
        "inference.pipeline",
        "latency.choice",
        "latency.table",
        "evaluation.posetrack",
        "api",
        "cli.app",
    ),
]


def name_of(path: Path) -> str:
    """A module's path inside the package."""
    return path.relative_to(PACKAGE).as_posix()


def part_of(path: Path) -> str:
    """The part of the package that a module belongs to: a folder or a module on the top level."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_imported(tree: ast.AST) -> set[str]:
    """Parts of this package that a module imports."""
    names = (name.split(".") for name in imports(tree))
    return {name[1] for name in names if name[0] == "vipnas_cli" and len(name) > 1} - {"__version__", *GROUND}


@pytest.fixture(params=MODULES, ids=name_of, scope="module")
def module(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def test_imports_come_from_a_smaller_row_or_the_own_part(module: Path, tree: ast.Module) -> None:
    part = part_of(module)
    if part in {"__init__", "__main__", *GROUND}:
        assert part == "__main__" or not parts_imported(_as_loaded(tree))
        return
    assert part in ROWS, f"{name_of(module)} belongs to no row"
    wrong = {other for other in parts_imported(tree) if other != part and ROWS[other] >= ROWS[part]}
    assert not wrong, f"{name_of(module)} may not import {sorted(wrong)}"


def test_torch_is_seen_in_few_places(module: Path, tree: ast.Module) -> None:
    roots = {name.split(".")[0] for name in imports(tree)}
    allowed = part_of(module) in WITH_TORCH or name_of(module) in TORCH_MODULES
    # The command line imports torch inside the functions of its training commands only.
    if part_of(module) == "cli":
        roots = {name.split(".")[0] for node in tree.body for name in imports(node) if not _is_function(node)}
    assert allowed or not roots & {"torch", "safetensors", "onnx", "onnxscript"}


def _as_loaded(tree: ast.Module) -> ast.Module:
    """The module without what only type checkers read: names of the package are loaded when they are asked for."""
    checked = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return ast.Module([node for node in tree.body if node not in checked], [])


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def test_spec_needs_the_standard_library_only(module: Path, tree: ast.Module) -> None:
    if part_of(module) in ("spec", "errors", "files", "folders", "documents"):
        roots = {name.split(".")[0] for name in imports(tree)}
        assert roots <= {*sys.stdlib_module_names, "vipnas_cli"} | (
            {"msgspec"} if part_of(module) == "documents" else set()
        )


def test_only_the_command_line_prints(module: Path, tree: ast.Module) -> None:
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    printing = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    assert part_of(module) == "cli" or not printing


def test_exceptions_are_caught_by_name(module: Path, tree: ast.Module) -> None:
    for node in ast.walk(tree):
        # Tidying up after anything is fine where the error goes on; one place makes a sentence of whatever comes.
        if isinstance(node, ast.ExceptHandler) and not _raises_again(node, name_of(module) == "cli/failures.py"):
            assert node.type is not None, f"{name_of(module)}:{node.lineno} catches everything"
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
            assert not caught & {"Exception", "BaseException"}, f"{name_of(module)}:{node.lineno} catches too much"


def _raises_again(handler: ast.ExceptHandler, as_cause: bool) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and (last.exc is None or (as_cause and last.cause is not None))


def test_no_gui_or_capture_of_opencv(module: Path, tree: ast.Module) -> None:
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"VideoCapture", "VideoWriter_fourcc", "imshow", "waitKey"}


def loaded_by(program: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a program."""
    program = f"import sys; {program}; print(); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return set(found.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_the_base_install_runs_without_torch(name: str) -> None:
    assert not loaded_by(f"import vipnas_cli.{name}") & {
        "torch",
        "safetensors",
        "onnx",
        "onnxscript",
        "faster_coco_eval",
    }


def test_help_is_quick_because_nothing_is_loaded_but_the_list_of_commands() -> None:
    loaded = loaded_by("from vipnas_cli.cli.app import app; app(['--help'], standalone_mode=False)")
    assert not loaded & {"torch", "cv2", "av", "onnxruntime", "numpy", "scipy", "msgspec", "platformdirs"}
    assert {name for name in loaded if name.startswith("vipnas_cli.")} == {
        *("vipnas_cli.errors", "vipnas_cli.files", "vipnas_cli.cli"),
        *(f"vipnas_cli.cli.{name}" for name in ("app", "command", "commands", "failures", "signals")),
    }
