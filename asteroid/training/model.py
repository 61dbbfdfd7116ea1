"""MACE models: new models, foundation models, and their reference energies.

The modules are MACE's own, so a saved model opens in any MACE calculator. Also converts models to and from
cuEquivariance kernels, for training on a GPU. Used by :mod:`asteroid.training.session`.
"""

import copy
import functools
import importlib.util
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import e3nn
import mace.modules as mace_modules
import numpy as np
import torch
from e3nn import o3
from mace.modules import ScaleShiftMACE
from mace.tools.scripts_utils import remove_pt_head

from asteroid.configuration import SYMBOLS
from asteroid.errors import InputError, first_line
from asteroid.mace_files import read_mace
from asteroid.manifest import ModelSettings
from asteroid.training.dataset import default_dtype

logger = logging.getLogger(__name__)

_INTERACTION = "RealAgnosticResidualInteractionBlock"
"""The default interaction block of MACE's training script."""


def build_model(
    elements: Sequence[int],
    settings: ModelSettings,
    *,
    scale: float | Sequence[float],
    avg_num_neighbors: float,
    seed: int,
    dtype: torch.dtype,
) -> ScaleShiftMACE:
    """A MACE model with random weights, reference energies of zero, and one head per scale.

    Other settings are those of MACE 0.3.16's training script: polynomial cutoff 5, readout 16x0e, silu.

    Args:
        elements: atomic numbers.
        scale: eV/Å, root mean square force of each head, for the scale of atomic energies.
        avg_num_neighbors: mean number of neighbours within r_max, which normalises the messages.
        seed: of the weights; torch's global random state is not changed.
    """
    numbers = tuple(sorted(int(z) for z in elements))
    scales = list(scale) if isinstance(scale, Sequence) else [scale]
    # A copy, because the model will be trained.
    model = copy.deepcopy(_compiled(numbers, settings, len(scales), dtype))
    model.load_state_dict(_random_weights(numbers, settings, len(scales), dtype, seed))
    for interaction in model.interactions:
        interaction.avg_num_neighbors = avg_num_neighbors
    model.scale_shift.scale = torch.tensor(scales if len(scales) > 1 else scales[0], dtype=dtype)
    return model


@functools.lru_cache(maxsize=8)
def _compiled(numbers: tuple[int, ...], settings: ModelSettings, heads: int, dtype: torch.dtype) -> ScaleShiftMACE:
    """The model that :func:`build_model` copies: e3nn takes two seconds to compile a model, a copy takes 20 ms."""
    return _new(numbers, settings, heads, dtype, seed=0)


@functools.lru_cache(maxsize=32)
def _random_weights(
    numbers: tuple[int, ...], settings: ModelSettings, heads: int, dtype: torch.dtype, seed: int
) -> dict[str, torch.Tensor]:
    """Random weights of a new model, which need no compilation."""
    compiling = e3nn.get_optimization_defaults()["jit_script_fx"]
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        return cast(dict[str, torch.Tensor], _new(numbers, settings, heads, dtype, seed).state_dict())
    finally:
        e3nn.set_optimization_defaults(jit_script_fx=compiling)


def _new(
    numbers: tuple[int, ...], settings: ModelSettings, heads: int, dtype: torch.dtype, seed: int
) -> ScaleShiftMACE:
    """A new model; :func:`build_model` sets its scales and number of neighbours."""
    several = heads > 1
    names = [f"level-{head}" for head in range(heads)] if several else ["Default"]
    hidden = o3.Irreps([(settings.channels, (degree, (-1) ** degree)) for degree in range(settings.max_l + 1)])
    with default_dtype(dtype), torch.random.fork_rng(), warnings.catch_warnings():
        # e3nn 0.4.4 uses annotations that newer versions of torch deprecate.
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        return ScaleShiftMACE(
            r_max=settings.r_max,
            num_bessel=settings.radial,
            num_polynomial_cutoff=5,
            max_ell=settings.max_ell,
            interaction_cls=mace_modules.interaction_classes[_INTERACTION],
            interaction_cls_first=mace_modules.interaction_classes[_INTERACTION],
            num_interactions=settings.interactions,
            num_elements=len(numbers),
            hidden_irreps=hidden,
            MLP_irreps=o3.Irreps("16x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.zeros((heads, len(numbers)) if several else len(numbers)),
            avg_num_neighbors=1.0,
            atomic_numbers=list(numbers),
            correlation=settings.correlation,
            atomic_inter_scale=[1.0] * heads if several else 1.0,
            atomic_inter_shift=[0.0] * heads if several else 0.0,
            heads=names,
        )


def extract_head(model: ScaleShiftMACE, head: int) -> ScaleShiftMACE:
    """One head of a model with several, as a separate model that any MACE calculator opens."""
    with default_dtype(next(model.parameters()).dtype), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = remove_pt_head(model, model.heads[head])
    single.heads = ["Default"]
    return cast(ScaleShiftMACE, single)


def load_foundation(path: str | Path, elements: Sequence[int], *, dtype: torch.dtype) -> ScaleShiftMACE:
    """A foundation model from a file, without running code of it; see :mod:`asteroid.mace_files`.

    Raises:
        InputError: when it cannot be read, is not a MACE model with one head, or lacks an element.
    """
    try:
        model = read_mace(Path(path).expanduser().read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"foundation: '{path}' cannot be read as a MACE model ({first_line(error)})") from error
    if not isinstance(model, ScaleShiftMACE):
        raise InputError(f"foundation: '{path}' holds a {type(model).__name__}; expected a ScaleShiftMACE model")
    if len(getattr(model, "heads", ["Default"])) > 1:
        raise InputError(f"foundation: '{path}' has the heads {model.heads}; extract one with mace_select_head first")
    known = model_elements(model)
    if missing := [SYMBOLS[z] for z in sorted(set(map(int, elements)) - set(known))]:
        raise InputError(f"foundation: '{path}' does not know {', '.join(missing)}; use a model trained on it")
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return cast(ScaleShiftMACE, model.to(dtype))


def model_elements(model: torch.nn.Module) -> list[int]:
    """Atomic numbers of the model, in its order."""
    return [int(z) for z in cast(torch.Tensor, model.atomic_numbers)]


def model_cutoff(model: torch.nn.Module) -> float:
    """r_max in Å."""
    return float(cast(torch.Tensor, model.r_max))


def set_reference_energies(model: ScaleShiftMACE, reference_energies: Mapping[int, float], shift: float = 0.0) -> None:
    """Set the reference energies of elements (eV); other elements get zero.

    Args:
        shift: eV per atom, added to the shift of the model.
    """
    buffer = model.atomic_energies_fn.atomic_energies
    values = torch.tensor([reference_energies.get(z, 0.0) for z in model_elements(model)], dtype=torch.float64)
    buffer.copy_(values.expand_as(buffer))
    model.scale_shift.shift += shift


def choose_device(device: str) -> torch.device:
    """The device; ``auto`` is a GPU if there is one.

    Raises:
        InputError: for ``cuda`` without a GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("training.device: 'cuda' was asked for and torch finds no GPU; write auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _has_kernels(device: torch.device) -> bool:
    return device.type == "cuda" and importlib.util.find_spec("cuequivariance_torch") is not None


def accelerate(model: ScaleShiftMACE, device: torch.device) -> torch.nn.Module:
    """The model on its device, on a GPU with cuEquivariance kernels if installed."""
    if not _has_kernels(device):
        return cast(torch.nn.Module, model.to(device))
    from mace.cli.convert_e3nn_cueq import run as to_cuequivariance

    logger.info("training with cuEquivariance kernels")
    with default_dtype(next(model.parameters()).dtype):
        return cast(torch.nn.Module, to_cuequivariance(model.to(device), device=device.type))


def plain(model: torch.nn.Module) -> ScaleShiftMACE:
    """The inverse of :func:`accelerate`: a model on the CPU without cuEquivariance, in double precision.

    Double precision is needed for total energies of thousands of eV.
    """
    parameter = next(model.parameters())
    if _has_kernels(parameter.device):
        from mace.cli.convert_cueq_e3nn import run as from_cuequivariance

        with default_dtype(parameter.dtype):
            model = from_cuequivariance(model, device=parameter.device.type)
    return cast(ScaleShiftMACE, model.cpu().double())
