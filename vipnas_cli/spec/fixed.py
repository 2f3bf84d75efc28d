"""The space whose only network is one of others: it can stand before followers, and nothing of it can be varied."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from vipnas_cli.spec.arch import ArchSpec, JsonObject
from vipnas_cli.spec.imported import ImportedSpec
from vipnas_cli.spec.schedule import Plan
from vipnas_cli.spec.space import SearchSpace


@dataclass(frozen=True)
class FixedNetwork:
    """An imported network as a space of one point; see SearchSpace."""

    network: ImportedSpec

    @property
    def size(self) -> int:
        """The number of networks."""
        return 1

    @property
    def largest(self) -> ImportedSpec:
        """The network."""
        return self.network

    @property
    def smallest(self) -> ImportedSpec:
        """The network."""
        return self.network

    @property
    def family(self) -> str:
        """That of imported networks."""
        return self.network.family

    def sample(self, rng: Random) -> ImportedSpec:
        """The network."""
        return self.network

    def contains(self, spec: ArchSpec | ImportedSpec) -> bool:
        """Whether it is that network."""
        return spec == self.network

    def to_json(self) -> JsonObject:
        """A JSON object that `key_space_from_json` turns back into an equal space."""
        return self.network.to_json()

    @property
    def key(self) -> str:
        """A short name that equal spaces share in every process."""
        return self.network.key


KeySpace = SearchSpace | FixedNetwork


def key_space_of(plan: Plan) -> KeySpace:
    """The space whose only network is that of a plan."""
    return FixedNetwork(plan.arch) if isinstance(plan.arch, ImportedSpec) else SearchSpace.of(plan.arch)


def key_space_from_json(data: JsonObject) -> KeySpace:
    """The space of a JSON object; SpecError names a wrong field."""
    imported = isinstance(data, dict) and "sha256" in data
    return FixedNetwork(ImportedSpec.from_json(data)) if imported else SearchSpace.from_json(data)
