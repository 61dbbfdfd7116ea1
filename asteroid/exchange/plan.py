"""Plan the import of a file: find all problems, and what to add; nothing is written.

:mod:`asteroid.exchange.importing` executes plans.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from asteroid.configuration import SPLITS, Configuration, Frame, Origin, Split, check_name
from asteroid.errors import InputError, suggest
from asteroid.exchange.checks import bond_warning, check_consistency, geometry_problems, label_problems
from asteroid.exchange.formats import shortened
from asteroid.exchange.labelled import Conventions, Floats, LabelledFile
from asteroid.exchange.matching import TOLERANCE, KnownFrames
from asteroid.exchange.splits import blocks, keep_copies_together, split_of_block
from asteroid.labelling.attempt import host
from asteroid.levels import LevelOfTheory
from asteroid.naming import digest_ids
from asteroid.store.rows import Attempt

ENERGY_AGREES: Final = 1e-5
FORCES_AGREE: Final = 1e-4
"""eV and eV/Å, largest differences of equal labels of one frame at one level."""

MOST_CORE_SECONDS: Final = 1e8
"""Largest cost of one label: three years of a core."""


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Settings of an import.

    Args:
        tolerance: Å, largest difference of each coordinate from a stored frame.
        split: of all new frames; None for the file's splits, or alternating blocks of frames.
        frames_per_group: neighbouring frames that share a split: more than the correlation length of a trajectory.
        temperature: K, if the frames are Boltzmann distributed.
        core_seconds: cost of each label.
        reject_bad: store labels that fail a check as rejected, and skip geometries that cannot be stored, instead of
            refusing the file.

    Raises:
        InputError: for invalid values.
    """

    molecule: str
    level: LevelOfTheory
    conventions: Conventions = field(default_factory=Conventions)
    tolerance: float = TOLERANCE
    split: Split | None = None
    frames_per_group: int = 20
    temperature: float | None = None
    core_seconds: float = 0.0
    reject_bad: bool = False

    def __post_init__(self) -> None:
        try:
            check_name(self.molecule)
        except InputError as error:
            raise InputError(f"--molecule: {error}") from None
        if self.level.parts:
            parts = ", ".join(map(str, self.level.computed))
            raise InputError(f"--level: labels at '{self.level}' are sums; import the labels of its parts: {parts}")
        if self.split is not None and self.split not in SPLITS:
            raise InputError(f"--split: found '{self.split}'; {suggest(self.split, SPLITS)}")
        if not 0 <= self.tolerance < 0.1:
            raise InputError(f"--tolerance: found {self.tolerance:g}; write Å from 0 to 0.1")
        if self.temperature is not None and not 0 < self.temperature < np.inf:
            raise InputError(f"--temperature: found {self.temperature:g}; write K above 0")
        if not 0 <= self.core_seconds <= MOST_CORE_SECONDS:
            raise InputError(
                f"--core-seconds: found {self.core_seconds:g}; write core-seconds a label, 0 to {MOST_CORE_SECONDS:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Result of the import of one file, as numbers.

    Args:
        frames: in the file.
        new_frames: added to the store, by split.
        labels: added and accepted.
        energy_only: accepted labels without forces.
        known: labels that the store had before.
        rejected: labels added as rejected.
        left_out: frames whose geometry cannot be stored.
        copies: duplicates of earlier frames of the file.
        keys: entries of the file that were read.
        notes: warnings.
    """

    file: Path
    frames: int
    new_frames: Mapping[Split, int]
    labels: int
    energy_only: int
    known: int
    rejected: int
    left_out: int
    copies: int
    keys: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What to write to the store for one file.

    Args:
        frames: new frames.
        attempts: new labels, accepted or rejected.
        frame_ids: of all frames of the file.
    """

    frames: list[Frame]
    attempts: list[Attempt]
    frame_ids: list[str]
    summary: Imported


def plan_import(
    file: LabelledFile, known: KnownFrames, labels: Mapping[str, Attempt], settings: ImportSettings
) -> Plan:
    """Plan what to write for a file.

    Args:
        known: frames of the store and of earlier files.
        labels: known labels at this level by frame id, accepted or rejected.

    Raises:
        InputError: with up to a few lines, each with the place of a frame and its problem.
    """
    misplaced, doubtful = _check(file, settings)
    good = np.array([row for row in range(len(file)) if row not in misplaced and row not in doubtful], dtype=np.int64)
    check_consistency(file, good)
    configurations = {
        row: Configuration(file.numbers, file.positions[row], file.charge, file.multiplicity)
        for row in range(len(file))
        if row not in misplaced
    }
    copies = _drop_copies(file, configurations, doubtful)
    found, ambiguous = known.match(configurations, settings.tolerance)
    _refuse(file, ambiguous)
    ids = {row: found.get(row, configuration.frame_id) for row, configuration in configurations.items()}
    attempts, conflicts = _new_attempts(file, ids, doubtful, labels, settings)
    _refuse(file, conflicts)
    new = {row: configuration for row, configuration in configurations.items() if row not in found}
    frames, notes = _new_frames(file, new, known, settings)
    notes += _changed_splits(file, found, known, settings)
    if warning := bond_warning(file, good):
        notes.append(warning)
    outcomes = Counter(attempt.status for attempt in attempts)
    return Plan(
        frames,
        attempts,
        list(ids.values()),
        Imported(
            file=file.path,
            frames=len(file),
            new_frames=Counter(frame.split for frame in frames),
            labels=outcomes["ok"],
            energy_only=sum(attempt.status == "ok" and attempt.forces is None for attempt in attempts),
            known=len(file) - len(attempts) - len(misplaced) - copies,
            rejected=outcomes["rejected"],
            left_out=len(misplaced),
            copies=copies,
            keys=file.keys,
            notes=tuple(notes),
        ),
    )


def _check(file: LabelledFile, settings: ImportSettings) -> tuple[dict[int, str], dict[int, str]]:
    """Rows with a bad geometry and rows with a bad label, with reasons; raises unless ``reject_bad``."""
    misplaced, doubtful = geometry_problems(file), label_problems(file)
    if not settings.reject_bad:
        _refuse(file, doubtful | misplaced, remedy="; correct it, or write --reject-bad")
    return misplaced, {row: reason for row, reason in doubtful.items() if row not in misplaced}


def _refuse(file: LabelledFile, problems: Mapping[int, str], *, remedy: str = "") -> None:
    if problems:
        raise InputError(shortened([f"{file.where(row)}: {problems[row]}{remedy}" for row in sorted(problems)]))


def _drop_copies(file: LabelledFile, configurations: dict[int, Configuration], doubtful: dict[int, str]) -> int:
    """Remove rows that repeat an earlier geometry with the same label; returns their number.

    Raises:
        InputError: when the labels differ.
    """
    first: dict[str, int] = {}
    conflicts, copies = {}, []
    # Labels that pass the checks go first.
    for row in sorted(configurations, key=lambda row: row in doubtful):
        earlier = first.setdefault(configurations[row].frame_id, row)
        if earlier == row:
            continue
        copies.append(row)
        if row not in doubtful and (difference := _difference(_label(file, row), _label(file, earlier))):
            conflicts[row] = f"has the geometry of frame {earlier} but another label: {difference}"
    _refuse(file, conflicts)
    for row in copies:
        del configurations[row]
        doubtful.pop(row, None)
    return len(copies)


def _new_attempts(
    file: LabelledFile,
    ids: Mapping[int, str],
    doubtful: Mapping[int, str],
    labels: Mapping[str, Attempt],
    settings: ImportSettings,
) -> tuple[list[Attempt], dict[int, str]]:
    """Labels that the store lacks, and the rows whose label differs from the stored one."""
    now = dt.datetime.now(dt.UTC)
    attempts, conflicts = [], {}
    for row, frame_id in ids.items():
        energy, forces = _label(file, row)
        reason = doubtful.get(row)
        there = labels.get(frame_id)
        if there is not None:
            difference = _difference((energy, forces), (there.energy, there.forces))
            if there.status == "ok" and not reason and difference:
                conflicts[row] = (
                    f"the store's label of frame {frame_id} at {settings.level} ({there.program} {there.version}) "
                    f"differs: {difference}"
                )
            # A rejected label is not added again with the same numbers; an accepted one may gain forces.
            gains_forces = there.status == "ok" and not reason and forces is not None and there.forces is None
            if not gains_forces and (there.status == "ok" or not difference):
                continue
        attempts.append(
            Attempt(
                frame_id=frame_id,
                status="rejected" if reason else "ok",
                energy=energy,
                forces=forces,
                reason=reason,
                wall_seconds=settings.core_seconds,
                program="import",
                version=file.sha256[:12],
                host=host(),
                time=now,
            )
        )
    return attempts, conflicts


def _label(file: LabelledFile, row: int) -> tuple[float | None, Floats | None]:
    """Energy and forces of a row; None where missing or not finite."""
    energy, forces = float(file.energies[row]), file.forces[row]
    if not np.isfinite(energy):
        return None, None
    return energy, forces if np.isfinite(forces).all() else None


def _difference(one: tuple[float | None, Floats | None], other: tuple[float | None, Floats | None]) -> str | None:
    """How two labels of one frame differ; None when they agree, or where only one has forces."""
    (energy, forces), (other_energy, other_forces) = one, other
    if (energy is None) != (other_energy is None):
        return "one has no energy"
    if energy is not None and other_energy is not None and abs(energy - other_energy) > ENERGY_AGREES:
        return f"energy {energy:.6f} eV instead of {other_energy:.6f} eV"
    if forces is not None and other_forces is not None:
        largest = float(np.abs(forces - other_forces).max())
        if largest > FORCES_AGREE:
            return f"a force differs by {largest:.3g} eV/Å"
    return None


def _new_frames(
    file: LabelledFile, new: Mapping[int, Configuration], known: KnownFrames, settings: ImportSettings
) -> tuple[list[Frame], list[str]]:
    """Frames that the store lacks, with their splits, and notes about these."""
    if not new:
        return [], []
    configurations = list(new.values())
    block = blocks(len(new), settings.frames_per_group)
    if settings.split is not None:
        wanted = [settings.split] * len(new)
    elif file.splits is not None:
        wanted = [file.splits[row] for row in new]
    else:
        wanted = [split_of_block(b) for b in block]
    together = keep_copies_together(
        configurations, wanted, known.configurations, [known.splits[c.frame_id] for c in known.configurations]
    )
    moved = sum(a != b for a, b in zip(together, wanted, strict=True))
    notes = []
    if settings.split is None and file.splits is None:
        splits = together
        if moved:
            notes.append(f"{moved} frames moved to the split of a frame of which they are near copies")
    else:
        splits = wanted
        if moved:
            notes.append(f"{moved} frames are near copies of a frame in another split: test errors will be too small")
    batch = f"import-{digest_ids(c.frame_id for c in configurations)}"
    frames = [
        Frame(
            configuration,
            Origin(
                "import",
                {"file": file.path.name, "sha256": file.sha256, "index": row},
                temperature=settings.temperature,
            ),
            f"{batch}-{b}-{split}",
            split,
        )
        for (row, configuration), b, split in zip(new.items(), block, splits, strict=True)
    ]
    return frames, notes


def _changed_splits(
    file: LabelledFile, found: Mapping[int, str], known: KnownFrames, settings: ImportSettings
) -> list[str]:
    """A note when known frames keep their split although another one is asked for."""
    if settings.split is None and file.splits is None:
        return []
    kept = sum(
        known.splits[frame_id] != (settings.split or (file.splits and file.splits[row]))
        for row, frame_id in found.items()
    )
    return [f"{kept} frames were in the store before and keep their split"] if kept else []
