"""Names of the fusion operations."""

from typing import Literal

FusionOperation = Literal["none", "add", "mul", "cat"]
