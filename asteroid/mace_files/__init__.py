"""MACE models from files, without running code of the file: :func:`read_mace`.

A MACE model is a pickle of its module, which other programs open with MACE's calculators, and which may hold any code.
:mod:`~asteroid.mace_files.inert` reads it as plain data, and :mod:`~asteroid.mace_files.rebuild` gives this data to a
module that MACE's constructor makes here. Used for models of a store, foundation models and ``potential:<path>``.
"""

import io
import os
from typing import cast

import torch

from asteroid.errors import first_line
from asteroid.mace_files.inert import NotAModel
from asteroid.mace_files.rebuild import rebuild

TRUST = "ASTEROID_TRUST_MODELS"
"""Environment variable: 1 lets a file that cannot be rebuilt run its own code. It belongs to a machine and not to the
manifest, because a manifest may be from the same stranger as the file."""


def read_mace(data: bytes) -> torch.nn.Module:
    """The MACE module in a file, on the CPU.

    Its predictions are bit for bit those of the pickled module, if MACE, e3nn and opt_einsum have the same versions.

    Raises:
        ValueError: when it is damaged, or cannot be read without running its code, which the user has not allowed.
    """
    try:
        return cast(torch.nn.Module, rebuild(data))
    except NotAModel:
        if not models_are_trusted():
            raise
    except ValueError as reason:
        if not models_are_trusted():
            raise ValueError(f"{reason}; {HOW_TO_TRUST}") from reason
    try:
        model: torch.nn.Module = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling can raise anything
        raise ValueError(first_line(error)) from error
    return model


def models_are_trusted() -> bool:
    """Whether the user of this machine lets model files run their own code."""
    return os.environ.get(TRUST) == "1"


HOW_TO_TRUST = f"if you trust its author with this machine, set {TRUST}=1, which lets it run its own code"
"""The remedy, for errors."""
