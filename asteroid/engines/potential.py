"""Pretrained potentials as levels of theory: ``potential:so3lr``, ``potential:ani1ccx``, ``potential:<path>``.

A path names a MACE model or a TorchScript of AIMNet2. The hash of the file belongs to the settings of its labels, so
that labels of different files are not mixed. A MACE model is read without running its code where possible, a
TorchScript is code: see :mod:`asteroid.mace_files` for the environment variable that allows it.

All run in double precision, on one thread, in processes with torch and without quantum chemistry. Torch is imported by
:meth:`PotentialLabeller.load`.
"""

import contextlib
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from asteroid.configuration import SYMBOLS, Configuration
from asteroid.engines import Capabilities, Engine, Labeller, Result, package_version, require, settings_hash
from asteroid.errors import InputError, LabelFailed, nearest
from asteroid.levels import LevelOfTheory

Compute = Callable[[Configuration], dict[str, Any]]
"""``energy`` in eV, ``forces`` (N, 3) in eV/Å and perhaps ``dipole`` (3,) in e·Å."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of potential.

    Args:
        package: Python module that runs it.
        distribution: name of the package on PyPI.
        load: makes the compute function from the part after the colon.
        elements: with parameters; None where only the file knows.
        charged: whether it supports charges.
        dipole: whether it gives dipoles.
        seconds: core-seconds of a label by number of atoms.
    """

    package: str
    distribution: str
    load: Callable[[str], Compute]
    elements: frozenset[int] | None = None
    charged: bool = False
    dipole: bool = False
    seconds: Callable[[int], float] = lambda atoms: 0.02 + 2e-3 * atoms


def _with_ase(calculator: Any) -> Compute:
    def compute(configuration: Configuration) -> dict[str, Any]:
        atoms = configuration.to_atoms()
        atoms.info["charge"] = float(configuration.charge)
        calculator.calculate(atoms, ["energy", "forces"], ["positions", "numbers", "cell", "pbc"])
        return dict(calculator.results)

    return compute


def _mace(path: str) -> Compute:
    from mace.calculators import MACECalculator

    from asteroid.mace_files import read_mace

    try:
        model = read_mace(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f"potential: '{path}' cannot be read as a MACE model ({error})") from error
    calculator = MACECalculator(models=[model], device="cpu", default_dtype="float64")
    known = {int(z) for z in calculator.z_table.zs}
    compute = _with_ase(calculator)

    def checked(configuration: Configuration) -> dict[str, Any]:
        if unknown := {int(z) for z in configuration.numbers} - known:
            names = [", ".join(SYMBOLS[z] for z in sorted(some)) for some in (unknown, known)]
            raise LabelFailed(f"no parameters for {names[0]}: {path} has {names[1]}")
        # Dipoles of MACE models are not derivatives of the energy.
        return {name: value for name, value in compute(configuration).items() if name != "dipole"}

    return checked


def _so3lr(_: str) -> Compute:
    import mace  # noqa: F401 (before e3nn: it allows e3nn to load its constants)
    from so3krates_torch.calculator.so3 import SO3LRCalculator

    return _with_ase(SO3LRCalculator(default_dtype="float64"))


def _torchani(name: str) -> Compute:
    import torch
    import torchani

    try:
        model = getattr(torchani.models, {"ani1x": "ANI1x", "ani1ccx": "ANI1ccx", "ani2x": "ANI2x"}[name])()
    except Exception as error:
        # Later versions download the weights at first use.
        raise ImportError(f"torchani {package_version('torchani')} has no weights of {name} here: {error}") from error
    return _with_ase(model.to(torch.float64).ase())


def _aimnet2(path: str) -> Compute:
    import torch

    from asteroid.mace_files import HOW_TO_TRUST, models_are_trusted

    if not models_are_trusted():
        raise InputError(f"potential: '{path}' is a TorchScript, which is code; {HOW_TO_TRUST}")
    model = torch.jit.load(path, map_location="cpu").double()  # type: ignore[no-untyped-call]

    def compute(configuration: Configuration) -> dict[str, Any]:
        positions = torch.tensor(configuration.positions[None], requires_grad=True)
        numbers = torch.tensor(configuration.numbers[None].astype(np.int64))
        charge = torch.tensor([float(configuration.charge)], dtype=torch.float64)
        energy = model({"coord": positions, "numbers": numbers, "charge": charge})["energy"].sum()
        (gradient,) = torch.autograd.grad(energy, positions)
        return {"energy": float(energy), "forces": -gradient[0].numpy()}

    return compute


_HCNO: Final = frozenset({1, 6, 7, 8})
_ORGANIC: Final = _HCNO | {9, 15, 16, 17}


def _ani(elements: frozenset[int]) -> Kind:
    return Kind(package="torchani", distribution="torchani", load=_torchani, elements=elements)


KINDS: Final = {
    # 45 to 70 ms per frame on one thread below 30 atoms. Its energies have their own zero.
    "so3lr": Kind(
        package="so3krates_torch",
        distribution="so3krates-torch",
        load=_so3lr,
        elements=_ORGANIC,
        charged=True,
        dipole=True,
        seconds=lambda atoms: 0.05 + 1e-3 * atoms,
    ),
    "ani1x": _ani(_HCNO),
    "ani1ccx": _ani(_HCNO),
    "ani2x": _ani(_HCNO | {9, 16, 17}),
}
"""Potentials whose package includes the weights."""

MACE: Final = Kind(package="mace", distribution="mace-torch", load=_mace)
AIMNET2: Final = Kind(package="torch", distribution="torch", load=_aimnet2, charged=True)
"""Potentials that are read from a file."""


@dataclass(frozen=True)
class PotentialLabeller:
    """Labels of one potential."""

    level: LevelOfTheory

    @property
    def kind(self) -> Kind:
        return _kind(self.level)

    @property
    def program(self) -> str:
        return self.kind.distribution

    @property
    def version(self) -> str:
        return package_version(self.kind.distribution)

    @property
    def settings(self) -> str:
        content = self.level.method if self.level.method in KINDS else _content_hash(self.level.method)
        return settings_hash({"potential": content, "precision": "float64"})

    def load(self) -> None:
        _loaded(self.level)

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label; forces are always computed and dropped without ``forces``.

        Raises:
            LabelFailed: for an element without parameters in the file.
        """
        found = _loaded(self.level)(configuration)
        dipole = found.get("dipole")
        return Result(
            energy=float(found["energy"]),
            forces=np.array(found["forces"], dtype=np.float64) if forces else None,
            dipole=np.array(dipole, dtype=np.float64) if dipole is not None and configuration.charge == 0 else None,
        )


class PotentialEngine(Engine):
    name = "potential"

    def read(self, level: LevelOfTheory, folder: Path) -> LevelOfTheory:
        name = level.method
        if name.lower() in KINDS:
            return LevelOfTheory(name.lower(), engine=self.name)
        path = (folder / Path(name).expanduser()).resolve()
        if not path.is_file():
            near = nearest(name.lower(), KINDS)
            remedy = f"did you mean '{near}'?" if near else f"write a model's path, or one of: {', '.join(KINDS)}"
            raise InputError(f"not a known potential, and there is no file {path}; {remedy}")
        return LevelOfTheory(str(path), engine=self.name)

    def capabilities(self, level: LevelOfTheory) -> Capabilities:
        kind = _kind(level)
        return Capabilities(
            properties=frozenset({"energy", "forces", "dipole"} if kind.dipole else {"energy", "forces"}),
            elements=kind.elements,
            charges=None if kind.charged else frozenset({0}),
            # None of them depends on the spin.
            multiplicities=frozenset({1}),
            seconds=kind.seconds,
            process="torch",
        )

    def make(self, level: LevelOfTheory) -> Labeller:
        kind = _kind(level)
        require(kind.package, "train" if kind in (MACE, AIMNET2) else "potentials")
        if level.method not in KINDS and not Path(level.method).is_file():
            raise InputError(f"'{level}': there is no such file here; write the path of a model")
        return PotentialLabeller(level)


def _kind(level: LevelOfTheory) -> Kind:
    return KINDS[level.method] if level.method in KINDS else _kind_of_file(level.method)


@cache
def _kind_of_file(path: str) -> Kind:
    """AIMNet2 for a TorchScript, which is an archive with code; else MACE, whose models are pickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            return AIMNET2 if any("/code/" in name for name in archive.namelist()) else MACE
    except (OSError, zipfile.BadZipFile):
        return MACE


@cache
def _content_hash(path: str) -> str:
    return sha256(Path(path).read_bytes()).hexdigest()


@cache
def _loaded(level: LevelOfTheory) -> Compute:
    import torch

    torch.set_num_threads(1)
    # Output of a package must not mix with ours.
    with contextlib.redirect_stdout(sys.stderr):
        return _kind(level).load(level.method)


ENGINE: Final = PotentialEngine()
