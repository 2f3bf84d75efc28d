"""The named search spaces. The paper's candidate lists are not published (section 1.3); these hold its results."""

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices
from vipnas_cli.spec.space import SearchSpace

BOTH = (False, True)
OFF = (False,)

# Widths of neighbouring stages with stride 1 never meet, so that no candidate gains or loses a shortcut. The dense
# deconvolution is there for the shared weights' sake; searches under a budget leave it alone.
MOBILENETV3_SPACE = SearchSpace(
    family="mobilenetv3",
    sizes=((256, 192),),
    stem=StemChoices((16,), (3,)),
    stages=(
        StageChoices((16,), (1,), (3, 5), (1, 2, 4), (1,), BOTH),
        StageChoices((16, 24, 32), (2, 3, 4), (3, 5, 7), (1, 2, 4, 8), (3, 4, 5, 6), BOTH),
        StageChoices((32, 40, 48), (2, 3, 4), (3, 5, 7), (1, 2, 4, 8), (3, 4, 5, 6), BOTH),
        StageChoices((48, 64, 80), (2, 3, 4), (3, 5, 7), (1, 2, 4, 8, 16), (3, 4, 5, 6), BOTH),
        StageChoices((96, 112, 128), (2, 3, 4), (3, 5, 7), (1, 2, 4, 8, 16), (3, 4, 5, 6), BOTH),
        StageChoices((128, 160, 192), (2, 3, 4), (3, 5, 7), (1, 2, 4, 8, 16), (3, 4, 5, 6), BOTH),
    ),
    head=HeadChoices((128, 160), (2, 4), (1, 2, 4, 5, 8, 160)),
)

# Widths are those of the published network times 1/2, 3/4 and 1, so that its odd group widths divide all of them.
RESNET_SPACE = SearchSpace(
    family="resnet",
    sizes=((256, 192),),
    stem=StemChoices((32, 48), (3, 5, 7)),
    stages=(
        StageChoices((40, 60, 80), (2, 3, 4), (3, 5, 7), (1, 2, 5, 10), (1,), BOTH),
        StageChoices((80, 120, 160), (3, 4, 5, 6), (3, 5, 7), (1, 2, 5, 10), (1,), BOTH),
        StageChoices((152, 228, 304), (4, 5, 6, 7), (3, 5, 7), (1, 2, 19, 38), (1,), BOTH),
        StageChoices((304, 456, 608), (2, 3, 4), (3, 5, 7), (1, 2, 19, 38), (1,), BOTH),
    ),
    head=HeadChoices((96, 144), (2, 4), (6, 9, 12, 18, 144)),
)

# Everything that fits into fast-base: the largest network is trained alone first, from ImageNet, and then opened up.
# Attention and channel groups are left out, because on a CPU they cost far more time than their operations tell: a
# group of 2 to 16 channels takes about 19 times a depthwise convolution. Cost falls to a tenth mostly by the size of
# the input; networks narrower than these lost far more accuracy than smaller inputs at the same cost.
FAST_SPACE = SearchSpace(
    family="fast",
    sizes=((256, 192), (224, 160), (192, 128), (160, 128), (128, 96)),
    stem=StemChoices((32,), (3,)),
    stages=(
        StageChoices((16,), (1,), (3,), (1,), (1,), OFF),
        StageChoices((24,), (1, 2), (3,), (1,), (4, 6), OFF),
        StageChoices((32, 40), (1, 2), (3, 5), (1,), (4, 6), OFF),
        StageChoices((64, 80), (2, 3), (3,), (1,), (4, 6), OFF),
        StageChoices((96, 112), (2, 3), (3, 5), (1,), (4, 6), OFF),
        StageChoices((160, 192), (2, 3, 4), (3, 5), (1,), (4, 6), OFF),
    ),
    head=HeadChoices((64, 96), (2, 4), (1,), (3, 5)),
)

# Everything that fits into a pyramid-base whose spatial convolutions see groups of 8 channels in two stages and that
# weighs its channels (squeeze and excitation) in two: all five dimensions of the paper. Groups are where the picture is
# small already and kernels are 3, so that they add least; attention is where channels mean most.
PYRAMID_SPACE = SearchSpace(
    family="pyramid",
    sizes=((256, 192), (224, 160), (192, 128), (160, 128)),
    stem=StemChoices((24,), (3,)),
    stages=(
        StageChoices((16,), (1,), (3,), (1,), (1,), OFF),
        StageChoices((24,), (1, 2), (3,), (1,), (4, 6), OFF),
        StageChoices((32,), (1, 2), (3, 5), (1,), (4, 6), OFF),
        StageChoices((48, 64), (2, 3), (3,), (1, 8), (4, 6), OFF),
        StageChoices((72, 88), (2, 3), (3, 5), (1,), (4, 6), BOTH),
        StageChoices((112, 144), (2, 3, 4), (3, 5), (1, 8), (4, 6), BOTH),
    ),
    head=HeadChoices((48, 64), (4,), (1,), (3, 5)),
)

SPACES: dict[str, SearchSpace] = {
    space.family: space for space in (MOBILENETV3_SPACE, RESNET_SPACE, FAST_SPACE, PYRAMID_SPACE)
}


def space_of(family: str) -> SearchSpace:
    """The search space of a family; SpecError lists the known ones."""
    if family not in SPACES:
        raise SpecError(f"there is no search space {family!r:.60}; known are {', '.join(SPACES)}")
    return SPACES[family]
