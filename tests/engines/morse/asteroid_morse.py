"""Water of springs: morse:soft and morse:stiff, E = Σ D (1 − exp(−a (r − r0)))² over its three distances."""

from dataclasses import dataclass

import numpy as np

from asteroid.engines import Capabilities, Engine, Result
from asteroid.errors import InputError, suggest
from asteroid.levels import LevelOfTheory

STEEPNESS = {"soft": 2.0, "stiff": 2.2}  # 1/Å
PAIRS = {9: (5.0, 0.96), 2: (1.0, 1.52)}  # D in eV and r0 in Å, by the sum of the atomic numbers


@dataclass(frozen=True)
class Morse:
    level: LevelOfTheory
    program: str = "morse"
    version: str = "1.0"
    settings: str = ""

    def load(self):
        pass

    def compute(self, configuration, *, forces=True):
        a, energy, force = STEEPNESS[self.level.method], 0.0, np.zeros(configuration.positions.shape)
        for i, j in zip(*np.triu_indices(len(force), 1), strict=True):
            depth, r0 = PAIRS[int(configuration.numbers[i] + configuration.numbers[j])]
            vector = configuration.positions[j] - configuration.positions[i]
            decay = np.exp(-a * (np.linalg.norm(vector) - r0))
            pull = 2 * depth * a * decay * (1 - decay) * vector / np.linalg.norm(vector)
            energy += depth * (1 - decay) ** 2
            force[i] += pull
            force[j] -= pull
        return Result(energy=float(energy), forces=force if forces else None)


class MorseEngine(Engine):
    name = "morse"

    def read(self, level, folder):
        if level.method not in STEEPNESS:
            raise InputError(f"unknown water; {suggest(level.method, STEEPNESS)}")
        return level

    def capabilities(self, level):
        one = {"charges": frozenset({0}), "multiplicities": frozenset({1})}
        return Capabilities(elements=frozenset({1, 8}), **one, seconds=lambda atoms: 1e-4)

    def make(self, level):
        return Morse(level)


ENGINE = MorseEngine()
