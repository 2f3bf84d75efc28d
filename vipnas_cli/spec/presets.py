"""Named architectures: the two networks that the paper's authors released, and our own starting point."""

from dataclasses import replace

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.arch import ArchSpec, HeadSpec, StageSpec, StemSpec


def _stages(rows: tuple[tuple[int, int, int, int, int, bool], ...]) -> tuple[StageSpec, ...]:
    """Stages from rows of width, depth, kernel, channels per group, expansion, attention."""
    return tuple(StageSpec(*row) for row in rows)


S_VIPNET_MOBILENETV3 = ArchSpec(
    family="mobilenetv3",
    height=256,
    width=192,
    stem=StemSpec(16, 3),
    stages=_stages(
        (
            (16, 1, 3, 2, 1, True),
            (24, 4, 7, 1, 5, True),
            (40, 4, 7, 8, 4, False),
            (80, 4, 5, 4, 5, True),
            (112, 4, 7, 2, 5, True),
            (160, 4, 5, 4, 6, True),
        )
    ),
    head=HeadSpec(160, 4, 1),
)

S_VIPNET_RES50 = ArchSpec(
    family="resnet",
    height=256,
    width=192,
    stem=StemSpec(48, 7),
    stages=_stages(
        (
            (80, 4, 3, 5, 1, True),
            (160, 6, 5, 10, 1, False),
            (304, 7, 5, 19, 1, True),
            (608, 3, 5, 38, 1, True),
        )
    ),
    head=HeadSpec(144, 4, 9),
)

# The trunk has the shape of EfficientNet-Lite0 up to its sixth stage, so that ImageNet weights fit it.
FAST_BASE = ArchSpec(
    family="fast",
    height=256,
    width=192,
    stem=StemSpec(32, 3),
    stages=_stages(
        (
            (16, 1, 3, 1, 1, False),
            (24, 2, 3, 1, 6, False),
            (40, 2, 5, 1, 6, False),
            (80, 3, 3, 1, 6, False),
            (112, 3, 5, 1, 6, False),
            (192, 4, 5, 1, 6, False),
        )
    ),
    head=HeadSpec(96, 4, 1, refine=5),
)

# The trunk of the person detector: half of Lite0's middle channels, fewer late blocks, 0.30 G MACs at 320×320.
DETECTOR = ArchSpec(
    family="fast",
    height=320,
    width=320,
    stem=StemSpec(32, 3),
    stages=_stages(
        (
            (16, 1, 3, 1, 1, False),
            (24, 2, 3, 1, 3, False),
            (40, 2, 5, 1, 3, False),
            (80, 3, 3, 1, 3, False),
            (112, 2, 5, 1, 3, False),
            (192, 2, 5, 1, 3, False),
        )
    ),
    head=HeadSpec(64, 4, 1, refine=5),
)

# The trunk of the base network without the last two blocks, which see but twelve places of so small a crop.
VERIFIER = replace(
    FAST_BASE,
    height=128,
    width=96,
    stages=(*FAST_BASE.stages[:-1], replace(FAST_BASE.stages[-1], depth=2)),
)

# The shapes of the three pose networks of BlazePose, so that their weights fit; they have 32, 48 and 48 channels in the
# decoder. Expansions of their second stages begin with 4.
PYRAMID_BASE = ArchSpec(
    family="pyramid",
    height=256,
    width=192,
    stem=StemSpec(24, 3),
    stages=_stages(
        (
            (16, 1, 3, 1, 1, False),
            (24, 2, 3, 1, 6, False),
            (32, 2, 5, 1, 6, False),
            (64, 3, 3, 1, 6, False),
            (88, 3, 5, 1, 6, False),
            (144, 4, 5, 1, 6, False),
        )
    ),
    head=HeadSpec(64, 4, 1, refine=5),
)

PYRAMID_LITE = replace(
    PYRAMID_BASE,
    stages=_stages(
        (
            (8, 1, 3, 1, 1, False),
            (16, 2, 3, 1, 6, False),
            (24, 2, 5, 1, 6, False),
            (40, 3, 3, 1, 6, False),
            (56, 3, 5, 1, 6, False),
            (96, 4, 5, 1, 6, False),
        )
    ),
    head=HeadSpec(48, 4, 1, refine=5),
)

# With a stem of 24 channels, as it has there, the first block would be a residual one, which it is not.
PYRAMID_HEAVY = replace(
    PYRAMID_BASE,
    stem=StemSpec(32, 3),
    stages=_stages(
        (
            (24, 1, 3, 1, 1, False),
            (32, 4, 3, 1, 6, False),
            (56, 4, 5, 1, 6, False),
            (112, 6, 3, 1, 6, False),
            (160, 6, 5, 1, 6, False),
            (272, 8, 5, 1, 6, False),
        )
    ),
)


def _fast(trunk: ArchSpec) -> ArchSpec:
    """The trunk of a network below the head of `fast-base`."""
    return replace(trunk, family="fast", head=FAST_BASE.head)


PRESETS: dict[str, ArchSpec] = {
    "detector": DETECTOR,
    "verifier": VERIFIER,
    "s-vipnet-mobilenetv3": S_VIPNET_MOBILENETV3,
    "s-vipnet-res50": S_VIPNET_RES50,
    "fast-base": FAST_BASE,
    "fast-lite": _fast(PYRAMID_LITE),
    "fast-full": _fast(PYRAMID_BASE),
    "fast-heavy": _fast(PYRAMID_HEAVY),
    "pyramid-lite": PYRAMID_LITE,
    "pyramid-base": PYRAMID_BASE,
    "pyramid-heavy": PYRAMID_HEAVY,
}


def preset(name: str) -> ArchSpec:
    """The architecture of that name; SpecError lists the known ones."""
    if name not in PRESETS:
        raise SpecError(f"unknown preset {name!r:.60}; known are {', '.join(PRESETS)}")
    return PRESETS[name]
