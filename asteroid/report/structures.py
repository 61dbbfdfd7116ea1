"""Structures of a report: the minimum, frames with accurate labels, and a trajectory of the model.

``viewer.js`` shows them; the points of :mod:`asteroid.report.parity` name them. Everything is read from the store:
frames that an older store lacks have no structure, and a page without any has no viewer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asteroid.configuration import Configuration, Frame
from asteroid.quantities import format_number
from asteroid.simulation.replicas import Replica
from asteroid.simulation.trajectories import from_parquet
from asteroid.store import Store, paths, records
from asteroid.store.records import Floats, FoundMinimum
from asteroid.validation.certificate import Certificate
from asteroid.validation.errors import Errors
from asteroid.validation.minimum import MinimumComparison, rotation_onto

MOST_COMPONENTS = 2400
"""Largest number of force components in a parity plot, for a page of at most 1.5 MB."""
WORST = 5
"""Number of worst frames in the list, and always among the points."""
MD_FRAMES = 60
"""Largest number of frames of a trajectory."""
LONGEST_ARROW = 1.5
"""Å, arrow of the largest force error on the page."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Judged:
    """A frame with accurate and predicted values.

    Args:
        key: its name on the page.
        source: sampler, and temperature if known.
        accurate_energy, predicted_energy: eV, total.
        accurate_forces: (N, 3) eV/Å; None for an energy-only label.
        predicted_forces: (N, 3) eV/Å.
        configuration: None if the store lacks the frame.
    """

    key: str
    frame_id: str
    source: str
    accurate_energy: float
    predicted_energy: float
    accurate_forces: Floats | None
    predicted_forces: Floats
    configuration: Configuration | None

    @property
    def force_errors(self) -> Floats | None:
        """(N, 3) eV/Å, predicted − accurate."""
        return None if self.accurate_forces is None else self.predicted_forces - self.accurate_forces

    @property
    def energy_error(self) -> float:
        """eV/atom, predicted − accurate."""
        return (self.predicted_energy - self.accurate_energy) / len(self.predicted_forces)

    @property
    def badness(self) -> float:
        """Largest absolute error of a force component, eV/Å; of the energy, eV/atom, without accurate forces."""
        errors = self.force_errors
        return abs(self.energy_error) if errors is None else float(np.abs(errors).max())

    @property
    def words(self) -> str:
        """Errors in words."""
        energy = f"energy error {format_number(1000 * self.energy_error)} meV/atom"
        errors = self.force_errors
        if errors is None:
            return energy
        atom = int(np.abs(errors).max(axis=1).argmax())
        symbol = self.configuration.symbols[atom] if self.configuration else "atom "
        return f"force error up to {format_number(1000 * self.badness)} meV/Å ({symbol}{atom}), {energy}"


@dataclass(frozen=True, eq=False)
class Scene:
    """Something that the viewer shows.

    Args:
        title: on its button.
        words: below the viewer.
        positions: (K, N, 3) Å; several frames are played.
        errors: (N, 3) eV/Å, drawn as arrows; None without.
    """

    title: str
    words: str
    positions: Floats
    errors: Floats | None = None


@dataclass(frozen=True, eq=False)
class Structures:
    """What the viewer can show.

    Args:
        scenes: by key, the first is shown at the beginning; empty without structures.
        symbols: of all atoms.
        tested, own: frames with accurate labels: held-out ones, and those of the model's own MD; best first.
    """

    scenes: Mapping[str, Scene]
    symbols: Sequence[str]
    tested: Sequence[Judged]
    own: Sequence[Judged]

    @property
    def worst(self) -> list[Judged]:
        """The worst frames of both kinds that can be shown, the worst first."""
        known = [one for one in (*self.tested, *self.own) if one.key in self.scenes]
        return sorted(known, key=lambda one: -one.badness)[:WORST]

    @property
    def arrow_scale(self) -> float:
        """Å per eV/Å of the arrows."""
        errors = [scene.errors for scene in self.scenes.values() if scene.errors is not None]
        largest = max((float(np.linalg.norm(found, axis=1).max()) for found in errors), default=0.0)
        return LONGEST_ARROW / (largest or 1.0)

    def for_viewer(self) -> dict[str, Any]:
        """For ``viewer.js``: positions in mÅ, arrows in mÅ."""
        scale = self.arrow_scale
        return {
            "symbols": list(self.symbols),
            "scenes": {
                key: {
                    "title": scene.title,
                    "words": scene.words,
                    "frames": [_thousandths(frame) for frame in scene.positions],
                    "arrows": None if scene.errors is None else _thousandths(scale * scene.errors),
                }
                for key, scene in self.scenes.items()
            },
        }


def collect_structures(store: Store, molecule: str, certificate: Certificate, trajectories: str | None) -> Structures:
    """The structures of a certificate.

    Args:
        trajectories: folder of the model's MD; None without it.
    """
    own_errors = certificate.evidence.on_policy.errors if certificate.evidence.on_policy else None
    minimum = certificate.minimum
    compared = minimum if isinstance(minimum, MinimumComparison) else None
    ids = {*certificate.errors.frame_ids, *(own_errors.frame_ids if own_errors else ())}
    ids |= {compared.model_frame, compared.accurate_frame} if compared else set()
    frames = {frame.frame_id: frame for frame in store.frames(molecule, ids=ids)}
    tested = _judged(certificate.errors, "test", frames)
    own = _judged(own_errors, "own", frames) if own_errors else []
    known = next((frame.configuration for frame in frames.values()), None)
    scenes: dict[str, Scene] = {}
    if known is not None:
        # Everything is turned onto one geometry, so that the view stays.
        fixed = _model_minimum(store, molecule, certificate, known)
        scenes |= _minima(certificate, fixed, frames)
        fixed = fixed or known
        for judged in sorted([*tested, *own], key=lambda one: -one.badness):
            if judged.configuration is not None:
                positions, rotation = _laid_onto(judged.configuration, fixed)
                errors = judged.force_errors
                errors = None if errors is None else errors @ rotation
                scenes[judged.key] = Scene(judged.source, judged.words, positions[None], errors)
        if trajectories and store.exists(path := f"{trajectories}/nvt.parquet"):
            scenes |= _trajectories(from_parquet(store.read(path)), fixed)
    return Structures(scenes, known.symbols if known else (), tested, own)


def _judged(errors: Errors, prefix: str, frames: Mapping[str, Frame]) -> list[Judged]:
    """Frames of one kind, best first; of very many all of the worst and a regular choice of the others."""
    judged = [
        Judged(
            key=f"{prefix}-{index}",
            frame_id=frame_id,
            source=_source(prefix, frames.get(frame_id)),
            accurate_energy=float(errors.reference_energies[index]),
            predicted_energy=float(errors.predicted_energies[index]),
            accurate_forces=errors.reference_forces[index],
            predicted_forces=errors.predicted_forces[index],
            configuration=frames[frame_id].configuration if frame_id in frames else None,
        )
        for index, frame_id in enumerate(errors.frame_ids)
    ]
    judged.sort(key=lambda one: one.badness)
    most = max(WORST + 1, MOST_COMPONENTS // (3 * int(errors.atoms.max())))
    others, worst = judged[:-WORST], judged[-WORST:]
    every = -(-len(others) // (most - WORST)) if others else 1
    return [*others[::every], *worst]


def _source(prefix: str, frame: Frame | None) -> str:
    kind = "Own MD" if prefix == "own" else "Held-out frame"
    if frame is None:
        return kind
    kelvin = frame.origin.temperature or frame.origin.parameters.get("temperature")
    at = f", {kelvin:.0f} K" if isinstance(kelvin, int | float) else ""
    words = {"md": "MD", "normal-modes": "normal modes"}
    return f"{kind}{at}" if prefix == "own" else f"{kind} ({words.get(frame.origin.method, frame.origin.method)}{at})"


def _model_minimum(store: Store, molecule: str, certificate: Certificate, known: Configuration) -> Configuration | None:
    path = paths.model_molecule(certificate.model, certificate.model_id, molecule, "minimum.json")
    if not store.exists(path):
        return None
    found = records.read(store, FoundMinimum, path)
    return known.with_positions(found.positions) if found.converged else None


def _minima(certificate: Certificate, model: Configuration | None, frames: Mapping[str, Frame]) -> dict[str, Scene]:
    scenes = {}
    if model is not None:
        scenes["minimum"] = Scene("Minimum", "minimum of the model", model.positions[None])
    minimum = certificate.minimum
    if isinstance(minimum, MinimumComparison) and minimum.accurate_frame in frames:
        accurate = frames[minimum.accurate_frame].configuration
        positions, _ = _laid_onto(accurate, model or accurate)
        words = f"RMSD {format_number(minimum.rmsd, 2)} Å from the model's"
        scenes["accurate-minimum"] = Scene("Accurate minimum", words, positions[None])
    return scenes


def _trajectories(replicas: Sequence[Replica], fixed: Configuration) -> dict[str, Scene]:
    """The end of the hottest trajectory, and of one that ended early."""
    whole = max((r for r in replicas if r.stable), key=lambda r: r.temperature, default=None)
    broken = next((r for r in replicas if not r.stable), None)
    scenes = {}
    for key, name, replica in (("md", "MD", whole), ("broken", "MD that ended early", broken)):
        if replica is None or len(replica.times) < 2:
            continue
        times, positions = replica.times[-MD_FRAMES:], replica.positions[-MD_FRAMES:]
        turned = [_laid_onto(fixed.with_positions(frame), fixed)[0] for frame in positions]
        words = f"the last {format_number(float(times[-1] - times[0]) / 1000)} ps"
        words += f"; {replica.reason}" if replica.reason else ""
        scenes[key] = Scene(f"{name}, {replica.temperature:.0f} K", words, np.stack(turned))
    return scenes


def _laid_onto(moved: Configuration, fixed: Configuration) -> tuple[Floats, Floats]:
    """Positions turned and shifted for the smallest distances to another geometry, and the rotation, (3, 3)."""
    rotation = rotation_onto(moved, fixed)
    centred = moved.positions - moved.positions.mean(axis=0)
    return centred @ rotation + fixed.positions.mean(axis=0), rotation


def _thousandths(values: Floats) -> list[int]:
    return [int(value) for value in np.rint(1000 * values).ravel()]
