"""Files of models, and what a rebuilt model is compared with."""

import io
from typing import Any

import mace.modules as mace_modules
import numpy as np
import torch
from ase.build import molecule
from e3nn import o3
from mace.calculators import MACECalculator

from asteroid.configuration import Configuration
from asteroid.mace_files.rebuild import rebuild
from asteroid.training.dataset import default_dtype
from asteroid.training.predict import predict

ETHANOL = molecule("CH3CH2OH")


def file_of(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def unpickled(data: bytes) -> torch.nn.Module:
    model: torch.nn.Module = torch.load(io.BytesIO(data), weights_only=False)
    return model


def with_mace(model: torch.nn.Module) -> tuple[float, np.ndarray]:
    """Energy and forces by MACE's own code, which reads every constant of the module."""
    dtype = "float64" if next(model.parameters()).dtype == torch.float64 else "float32"
    atoms = ETHANOL.copy()
    atoms.calc = MACECalculator(models=[model], device="cpu", default_dtype=dtype)
    # TorchScript's first run in a process differs from later ones in the last bit, also for one and the same module.
    with torch.jit.optimized_execution(False):
        return atoms.get_potential_energy(), atoms.get_forces()


def assert_same(data: bytes) -> None:
    """The model that is rebuilt is that of the pickle, to the last bit of its predictions."""
    expected, found = unpickled(data), rebuild(data)
    assert list(expected.state_dict()) == list(found.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), found.parameters(), strict=True))
    assert expected.training == found.training
    for one, other in zip(with_mace(expected), with_mace(found), strict=True):
        np.testing.assert_array_equal(one, other)
    configuration = Configuration.from_atoms(ETHANOL)
    (energies, forces), (others, other_forces) = (predict(model, [configuration]) for model in (expected, found))
    np.testing.assert_array_equal(energies, others)
    np.testing.assert_array_equal(forces[0], other_forces[0])


def foreign(
    dtype: torch.dtype = torch.float64, first: str = "RealAgnosticResidualInteractionBlock", **options: Any
) -> torch.nn.Module:
    """A model of MACE's constructor."""
    arguments: dict[str, Any] = {"correlation": 2, **options}
    with default_dtype(dtype):
        return mace_modules.ScaleShiftMACE(
            r_max=4.7,
            num_bessel=6,
            num_polynomial_cutoff=6,
            max_ell=2,
            interaction_cls=mace_modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=mace_modules.interaction_classes[first],
            num_interactions=2,
            num_elements=3,
            hidden_irreps=o3.Irreps("4x0e+4x1o"),
            MLP_irreps=o3.Irreps("8x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.array([-13.0, -1029.0, -2041.0]),
            avg_num_neighbors=5.3,
            atomic_numbers=[1, 6, 8],
            atomic_inter_scale=0.7,
            atomic_inter_shift=0.1,
            **arguments,
        )
