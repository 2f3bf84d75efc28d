"""From the shared tensors of a super-network to those of one architecture.

Every result is a view of the shared tensor or a differentiable copy of a part of it, so gradients land in that part.
Shapes: R rows (dimension 0 of a weight), C columns (dimension 1), k kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vipnas_cli.errors import SpecError
from vipnas_cli.nets.fusion import JoinedConvolution

Convolution = nn.Conv2d | nn.ConvTranspose2d
_HINT = "take an architecture of its search space"


def narrowed_state(modules: dict[str, nn.Module], wanted: nn.Module) -> dict[str, Tensor]:
    """Tensors of the shared `modules`, narrowed to the shapes of the parameters and buffers of `wanted`, by name.

    SpecError if a shared tensor is missing or too small.
    """
    state: dict[str, Tensor] = {}
    for path, module in wanted.named_modules():
        own = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
        for name, tensor in own.items():
            full = f"{path}.{name}" if path else name
            stored = getattr(modules.get(path), name, None)
            if not isinstance(stored, Tensor):
                raise SpecError(f"the super-network has no tensor {full}", _HINT)
            try:
                state[full] = _narrowed(stored, tensor, modules[path], module, name)
            except SpecError as error:
                raise SpecError(f"{full}: {error.what}", _HINT) from error
    return state


def _narrowed(stored: Tensor, tensor: Tensor, shared: nn.Module, wanted: nn.Module, name: str) -> Tensor:
    """One tensor: convolution weights by centre and groups, everything else by its leading entries."""
    if stored.shape == tensor.shape and (not isinstance(wanted, Convolution) or shared.groups == wanted.groups):
        return stored
    if isinstance(wanted, JoinedConvolution) and name == "weight":
        return joined_columns(stored, wanted.out_channels)
    if isinstance(shared, Convolution) and isinstance(wanted, Convolution) and name == "weight":
        weight = kernel_centre(stored, tensor.shape[2])
        weight = block_diagonal(weight, (tensor.shape[0], tensor.shape[1]), shared.groups, wanted.groups)
        return weight.contiguous()
    return leading(stored, tuple(tensor.shape)).contiguous()


def leading(stored: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first entries along every dimension; SpecError if there are too few."""
    if stored.dim() != len(shape) or any(have < want for have, want in zip(stored.shape, shape, strict=True)):
        raise SpecError(f"shape {tuple(stored.shape)} does not hold {shape}")
    for dimension, length in enumerate(shape):
        stored = stored.narrow(dimension, 0, length)
    return stored


def kernel_centre(weight: Tensor, kernel: int) -> Tensor:
    """The middle (R, C, kernel, kernel) of a weight (R, C, k, k); k and kernel are both odd or both even."""
    start, odd = divmod(weight.shape[2] - kernel, 2)
    if start < 0 or odd:
        raise SpecError(f"a kernel of {weight.shape[2]} has no middle of {kernel}")
    return weight[:, :, start : start + kernel, start : start + kernel]


def block_diagonal(weight: Tensor, shape: tuple[int, int], groups: int, wanted_groups: int) -> Tensor:
    """The rows and columns `shape` of a weight (R, C, k, k) with `groups` that smaller groups still see.

    Rows and columns are those of nn.Conv2d (outputs, inputs per group) or nn.ConvTranspose2d (inputs, outputs per
    group): either way a group is a block of rows by all columns. The shared weight has one group, which holds any
    blocks on its diagonal, or square blocks, which smaller square ones tile.
    """
    rows, columns = shape
    if groups == 1:
        whole = leading(weight, (rows, columns * wanted_groups, *weight.shape[2:]))
        return _diagonal(whole, (wanted_groups, rows // wanted_groups), (wanted_groups, columns))
    block = weight.shape[1]
    square = weight.shape[0] == groups * block and rows == wanted_groups * columns
    if not square or block % columns or rows > weight.shape[0]:
        raise SpecError(f"{wanted_groups} groups of {rows}×{columns} do not nest in {groups} of {tuple(weight.shape)}")
    # A narrower width may cut the last shared group: take it whole, then drop its surplus rows.
    used, parts = -(-rows // block), block // columns
    shared_blocks = weight[: used * block].reshape(used, block, block, *weight.shape[2:])
    split = shared_blocks.reshape(used, parts, columns, parts, columns, *weight.shape[2:])
    return split.diagonal(0, 1, 3).movedim(-1, 1).flatten(0, 2)[:rows]


def _diagonal(weight: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """The blocks on the diagonal, one below the other; `rows` and `columns` say how many blocks of which length."""
    blocks: Tensor = weight.reshape(*rows, *columns, *weight.shape[2:]).diagonal(0, 0, 2)
    return blocks.movedim(-1, 0).flatten(0, 1)


def joined_columns(weight: Tensor, rows: int) -> Tensor:
    """The first `rows` rows of a JoinedConvolution's weight (R, C, 1, 1): each joined part keeps its own columns."""
    if rows > weight.shape[0]:
        raise SpecError(f"shape {tuple(weight.shape)} does not hold {rows} rows")
    return torch.cat([weight[:rows, :rows], weight[:rows, weight.shape[0] :]], 1)
