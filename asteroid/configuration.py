"""Configurations and frames.

A :class:`Configuration` has elements, positions, charge and spin multiplicity, and is validated at construction. A
:class:`Frame` is a configuration in the store with its :class:`Origin`. Samplers make frames, labellers read
configurations.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from asteroid.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

Split = Literal["train", "valid", "test", "certificate"]
"""``certificate`` frames are made for the validation of a finished model. Like ``test``, they are never trained on."""

SPLITS: tuple[Split, ...] = get_args(Split)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Valid names of molecules, which are folders of the store."""


def check_name(name: str) -> str:
    """Return a valid name of a molecule.

    Raises:
        InputError: for an invalid name.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"name {name!r} cannot be a folder of the store; write letters, digits, _ and - (64 at most)")
    return name


# fmt: off
SYMBOLS = (
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K",
    "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr",
    "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La",
    "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os",
    "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn",
)
# fmt: on
"""Chemical symbols by atomic number, up to radon as in the GFN methods."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """Elements, positions, charge and spin multiplicity of one molecule.

    Args:
        numbers: (N,) atomic numbers, 1 to 86.
        positions: (N, 3) Å.
        charge: total charge in e.
        multiplicity: 2S + 1.

    Raises:
        ValueError: for wrong shapes, positions that are not finite, or an impossible multiplicity.

    >>> h2 = Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]])
    >>> h2.formula, h2.electrons
    ('H2', 2)
    """

    numbers: npt.NDArray[np.int64]
    positions: npt.NDArray[np.float64]
    charge: int = 0
    multiplicity: int = 1

    def __post_init__(self) -> None:
        numbers = np.array(self.numbers, dtype=np.int64)
        positions = np.array(self.positions, dtype=np.float64)
        if numbers.ndim != 1 or numbers.size == 0:
            raise ValueError(f"numbers have shape {numbers.shape}; expected (N,) with N > 0")
        if positions.shape != (numbers.size, 3):
            raise ValueError(f"positions have shape {positions.shape}; expected ({numbers.size}, 3)")
        if not np.isfinite(positions).all():
            raise ValueError("positions are not finite")
        if numbers.min() < 1 or numbers.max() >= len(SYMBOLS):
            raise ValueError(f"atomic numbers must lie in 1 to {len(SYMBOLS) - 1}")
        numbers.setflags(write=False)
        positions.setflags(write=False)
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "charge", int(self.charge))
        object.__setattr__(self, "multiplicity", int(self.multiplicity))
        check_multiplicity(self.electrons, self.multiplicity)

    @property
    def electrons(self) -> int:
        """Number of all electrons, including those of an effective core potential."""
        return int(self.numbers.sum()) - self.charge

    @property
    def symbols(self) -> list[str]:
        return [SYMBOLS[z] for z in self.numbers]

    @property
    def masses(self) -> npt.NDArray[np.float64]:
        """(N,) u."""
        from ase.data import atomic_masses

        return np.asarray(atomic_masses, dtype=np.float64)[self.numbers]

    @property
    def formula(self) -> str:
        """Hill formula."""
        return hill_formula(self.numbers)

    @cached_property
    def frame_id(self) -> str:
        """Hash of numbers, charge, multiplicity and exact positions, 32 hexadecimal digits."""
        digest = hashlib.sha256()
        digest.update(self.numbers.astype("<i8").tobytes())
        digest.update(np.array([self.charge, self.multiplicity], dtype="<i8").tobytes())
        # Adding 0.0 turns -0.0 into 0.0, so that equal positions have equal ids.
        digest.update((self.positions + 0.0).astype("<f8").tobytes())
        return digest.hexdigest()[:32]

    def with_positions(self, positions: npt.ArrayLike) -> Self:
        """The same molecule at other positions, (N, 3) Å."""
        return type(self)(self.numbers, np.asarray(positions, dtype=np.float64), self.charge, self.multiplicity)

    @classmethod
    def from_atoms(cls, atoms: "Atoms", *, charge: int = 0, multiplicity: int = 1) -> Self:
        """From ASE atoms, without reading charge and multiplicity from them."""
        return cls(atoms.numbers, atoms.positions, charge, multiplicity)

    def to_atoms(self) -> "Atoms":
        """To ASE atoms without a cell; ``info`` has ``charge`` and ``spin`` (multiplicity)."""
        from ase import Atoms

        info = {"charge": self.charge, "spin": self.multiplicity}
        return Atoms(numbers=self.numbers, positions=self.positions, info=info)


def hill_formula(numbers: npt.NDArray[np.int64]) -> str:
    """Hill formula of atomic numbers: carbon, hydrogen, then alphabetical order.

    >>> hill_formula(np.array([8, 1, 1]))
    'H2O'
    """
    symbols = [SYMBOLS[z] for z in numbers]
    order = sorted(set(symbols), key=lambda s: ({"C": 0, "H": 1}.get(s, 2) if "C" in symbols else 2, s))
    return "".join(s + (str(symbols.count(s)) if symbols.count(s) > 1 else "") for s in order)


def check_multiplicity(electrons: int, multiplicity: int) -> None:
    """Check the spin multiplicity for a number of electrons.

    Raises:
        ValueError: for an impossible multiplicity, or without electrons.
    """
    if electrons < 1:
        raise ValueError(f"{electrons} electrons are left; write a smaller charge (in e)")
    if multiplicity < 1 or (electrons - multiplicity + 1) % 2 or multiplicity > electrons + 1:
        parity = "odd" if electrons % 2 == 0 else "even"
        raise ValueError(
            f"multiplicity {multiplicity} is impossible for {electrons} electrons; "
            f"write an {parity} one from 1 to {electrons + 1}"
        )


EXPLORED = "explore"
"""Method of the frames that a model has found by itself."""


@dataclass(frozen=True)
class Origin:
    """Where a frame came from, enough to make it again.

    Args:
        method: the sampler, e.g. ``md``, ``normal-modes``, ``conformer``, ``import``.
        parameters: the sampler's settings as plain values.
        seed: of the random numbers used, None for what is not random.
        parent: frame_id of the configuration it was made from.
        temperature: K, only where the frame was drawn from a Boltzmann distribution at that temperature.
    """

    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    parent: str | None = None
    temperature: float | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One stored configuration.

    Args:
        group: frames of one group (a trajectory, a conformer's displacements) may be near copies and share one split.
    """

    configuration: Configuration
    origin: Origin
    group: str
    split: Split

    @property
    def frame_id(self) -> str:
        return self.configuration.frame_id
