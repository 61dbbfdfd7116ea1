"""Dipole model of a finished model, and the infrared lines and spectrum that follow from it.

The dipole model is fitted in seconds when the model is certified, and stored beside it; without dipoles in the accurate
labels there is none. Needs torch.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from asteroid.chemistry.vibrations import dipole_derivatives, displacements, normal_modes
from asteroid.configuration import Configuration
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages.hessians import accurate_hessian
from asteroid.stages.minima import model_minimum, starting_structure
from asteroid.stages.models import training_frames
from asteroid.store import Store, paths, records

if TYPE_CHECKING:
    import torch

    from asteroid.stages.own_md import OwnMD
    from asteroid.store.records import DipoleModel
    from asteroid.training.dipoles import Dipoles
    from asteroid.validation.infrared import DipoleErrors, Infrared, InfraredSpectrum, Lines


def infrared(store: Store, molecule: MoleculeSettings, model_id: str, trajectories: "OwnMD") -> "Infrared | None":
    """Dipole errors, harmonic lines and spectrum of a model; None for an ion, or if the labels have no dipoles.

    Args:
        trajectories: MD with the model.
    """
    from asteroid.training.run import load_model
    from asteroid.validation.infrared import Infrared

    if molecule.charge:
        return None
    module = load_model(store, molecule.model_name, model_id)
    dipoles = fit_dipole_model(store, molecule, model_id, module)
    start = starting_structure(store, molecule)
    # A molecule that the model was not trained on may have other elements.
    if dipoles is None or not {*start.numbers.tolist()} <= {*dipoles.elements}:
        return None
    model, accurate = _lines(store, molecule, model_id, module, dipoles)
    return Infrared(
        errors=_errors(store, molecule, module, dipoles),
        model=model,
        accurate=accurate,
        spectrum=_spectrum(start, trajectories, module, dipoles),
    )


def fit_dipole_model(
    store: Store, molecule: MoleculeSettings, model_id: str, module: "torch.nn.Module"
) -> "DipoleModel | None":
    """Fit and store the dipole model, or read it; None for too few accurate labels with dipoles.

    It is fitted to all molecules of the model.

    Args:
        module: the MACE model.
    """
    from asteroid.training.dipoles import FEWEST, fit_dipoles
    from asteroid.training.run import read_dipole_model

    if (stored := read_dipole_model(store, molecule.model_name, model_id)) is not None:
        return stored
    accurate, cheap = _training_dipoles(store, molecule)
    if len(accurate) < FEWEST:
        return None
    found = fit_dipoles(
        module, accurate, cheap if len(cheap) else None, model_id=model_id, level=str(molecule.accurate)
    )
    records.write(store, paths.dipole_model(molecule.model_name, model_id), found)
    return found


def _training_dipoles(store: Store, molecule: MoleculeSettings) -> "tuple[Dipoles, Dipoles]":
    """Accurate dipoles of the frames that trained the model and stopped its training, and the cheap ones."""
    accurate, cheap = [], []
    for member in molecule.trained_on:
        frames, _, _ = training_frames(store, member)
        accurate.append(_labelled(store, member.name, molecule.accurate, (*frames.train, *frames.valid)))
        cheap.append(_labelled(store, member.name, molecule.cheap, frames.cheap))
    return _joined(accurate), _joined(cheap)


def _labelled(store: Store, name: str, level: LevelOfTheory, ids: Iterable[str]) -> "Dipoles":
    """The frames of a molecule whose labels have dipoles; none of an ion, whose dipole depends on the origin."""
    from asteroid.training.dipoles import Dipoles

    labels, wanted = store.labels(name, level), list(ids)
    neutral = {f.frame_id: f.configuration for f in store.frames(name, ids=wanted) if not f.configuration.charge}
    found = [
        (neutral[i], label.dipole)
        for i in wanted
        if i in neutral and (label := labels.get(i)) and label.dipole is not None
    ]
    return Dipoles([c for c, _ in found], np.array([dipole for _, dipole in found]).reshape(-1, 3))


def _joined(parts: "list[Dipoles]") -> "Dipoles":
    from asteroid.training.dipoles import Dipoles

    return Dipoles([c for part in parts for c in part.configurations], np.concatenate([p.values for p in parts]))


def _errors(
    store: Store, molecule: MoleculeSettings, module: "torch.nn.Module", dipoles: "DipoleModel"
) -> "DipoleErrors | None":
    """Errors of dipoles on the test frames of the molecule."""
    from asteroid.training.dipoles import constant_charge_dipoles, predict_dipoles
    from asteroid.validation.infrared import dipole_errors

    frames, _, _ = training_frames(store, molecule)
    test = _labelled(store, molecule.name, molecule.accurate, frames.test)
    if not len(test):
        return None
    ids = [configuration.frame_id for configuration in test.configurations]
    cheap = _labelled(store, molecule.name, molecule.cheap, ids)
    return dipole_errors(
        test.values,
        predict_dipoles(module, dipoles, test.configurations),
        cheap.values if len(cheap) == len(test) else None,
        constant_charge_dipoles(_training_dipoles(store, molecule)[0], test.configurations),
        labels=dipoles.labels,
        cheap_labels=dipoles.cheap_labels,
    )


def _lines(
    store: Store, molecule: MoleculeSettings, model_id: str, module: "torch.nn.Module", dipoles: "DipoleModel"
) -> "tuple[Lines | None, Lines | None]":
    """Harmonic lines of the model and of the accurate level, each at its own minimum."""
    from asteroid.training.dipoles import predict_dipoles
    from asteroid.validation.infrared import Lines, compare_lines, intensities

    found = model_minimum(store, molecule, model_id)
    if found.hessian is None:
        return None, None
    minimum = starting_structure(store, molecule).with_positions(found.positions)
    slopes = dipole_derivatives(list(predict_dipoles(module, dipoles, displacements(minimum))))
    accurate, _ = accurate_hessian(store, molecule, model_id)
    if accurate is None or accurate.dipole_derivatives is None:
        modes = normal_modes(minimum, found.hessian)
        return Lines(modes.wavenumbers, intensities(modes, slopes)), None
    reference = accurate.minimum, accurate.hessian
    return compare_lines((minimum, found.hessian), slopes, reference, accurate.dipole_derivatives)


def _spectrum(
    start: Configuration, trajectories: "OwnMD", module: "torch.nn.Module", dipoles: "DipoleModel"
) -> "InfraredSpectrum | None":
    """Infrared spectrum of the NVE trajectories that survived; None if they are too short."""
    from asteroid.stages.own_md import series_for_spectra
    from asteroid.training.dipoles import predict_dipoles
    from asteroid.validation.infrared import infrared_spectrum

    found = series_for_spectra(trajectories)
    if found is None:
        return None
    replicas, positions, interval = found
    frames = [start.with_positions(one) for one in positions.reshape(-1, *start.positions.shape)]
    moments = predict_dipoles(module, dipoles, frames).reshape(*positions.shape[:2], 3)
    kelvin = float(np.mean([replica.temperatures.mean() for replica in replicas]))
    return infrared_spectrum(moments, interval=interval, temperature=kelvin)
