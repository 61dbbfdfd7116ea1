"""Read the block ``models``: models of several molecules.

:mod:`asteroid.manifest.molecules` reads their molecules again, with the training settings of the model.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asteroid.chemistry.geometry_files import read_structures
from asteroid.chemistry.structures import read_smiles
from asteroid.configuration import SYMBOLS, check_name
from asteroid.errors import InputError, suggest
from asteroid.manifest.entries import check_duplicates, entry_label, merge
from asteroid.manifest.molecules import read_molecule
from asteroid.manifest.schema import FileEntry, ModelEntry, ModelPlan, MoleculeSettings
from asteroid.problems import validate


def read_models(
    file: FileEntry, molecules: Sequence[MoleculeSettings], folder: Path
) -> tuple[list[MoleculeSettings], list[str]]:
    """All molecules with their models; a molecule that no entry of ``models`` names has its own model."""
    problems = check_duplicates(file.models, "models")
    found: list[MoleculeSettings] = []
    for index, raw in enumerate(file.models):
        plan, found_here = _read_model(raw, file, molecules, folder)
        problems += [f"{entry_label(index, raw, 'models')}: {problem}" for problem in found_here]
        if plan is not None:
            found += [replace(molecule, model=plan) for molecule in (*plan.molecules, *plan.judge)]
    named = {molecule.name for molecule in found}
    return [*found, *(molecule for molecule in molecules if molecule.name not in named)], problems


def _read_model(
    raw: object, file: FileEntry, molecules: Sequence[MoleculeSettings], folder: Path
) -> tuple[ModelPlan | None, list[str]]:
    """One entry of ``models``, or its problems."""
    if not isinstance(raw, dict):
        return None, [f"found {str(raw)[:40]!r}; write keys and values, for example name: and molecules:"]
    below: dict[str, Any] = {key: file.defaults[key] for key in ("training", "acquisition") if key in file.defaults}
    model, problems = validate(ModelEntry, merge(below, raw))
    if model is None:
        return None, problems
    by_name = {molecule.name: (molecule, file.molecules[place]) for place, molecule in enumerate(molecules)}
    try:
        check_name(model.name)
    except InputError as error:
        problems.append(str(error))
    if model.name.lower() in {name.lower() for name in by_name}:
        problems.append(f"name: found '{model.name}', which is the name of a molecule; write another one")
    judge = list(dict.fromkeys(model.judge))
    trained = (
        [n for n in by_name if n not in judge] if model.molecules == "all" else list(dict.fromkeys(model.molecules))
    )
    for key, names in (("molecules", trained), ("judge", judge)):
        problems += [f"{key}: found '{n}', no molecule; {suggest(n, by_name)}" for n in names if n not in by_name]
    problems += [f"judge: found '{n}', which trains the model too; leave it out" for n in judge if n in trained]
    if not trained:
        problems.append("molecules: found an empty list; write at least one molecule")
    if problems:
        return None, problems
    above = {key: value for key, value in merge(below, raw).items() if key in ("training", "acquisition")}
    members: dict[str, MoleculeSettings] = {}
    # With levels in between there is no network for all molecules, which lowers the error of similar ones.
    usual = {"chain": None} if len(trained) + len(judge) > 1 and "chain" not in file.defaults else {}
    for name in (*trained, *judge):
        _, written = by_name[name]
        if ignored := sorted({"training", "acquisition"} & written.keys()):
            problems.append(f"molecule '{name}' has {ignored[0]}: of its own; write it at the model")
        entry = {key: value for key, value in written.items() if key not in ("training", "acquisition")}
        # Rounds buy no labels of a molecule that only validates the model.
        given = {**above, "acquisition": None} if name in judge else above
        settings, found_here = read_molecule({**usual, **entry, **given}, file.defaults, folder)
        problems += [f"with molecule '{name}': {problem}" for problem in found_here]
        if settings is not None:
            members[name] = settings
    problems = list(dict.fromkeys(problems)) or _check_members(list(members.values()))
    if problems:
        return None, problems
    known = {number for name in trained for number in _elements(members[name])}
    for name in judge:
        if unknown := sorted(_elements(members[name]) - known):
            symbols = ", ".join(SYMBOLS[number] for number in unknown)
            problems.append(
                f"judge: found '{name}' with {symbols}, which no molecule that trains the model has; leave it out"
            )
    if problems:
        return None, problems
    trainers = tuple(members[name] for name in trained)
    judges = tuple(replace(members[name], acquisition=trainers[0].acquisition) for name in judge)
    return ModelPlan(name=model.name, molecules=trainers, judge=judges), []


def _elements(molecule: MoleculeSettings) -> set[int]:
    """Atomic numbers of a molecule."""
    if molecule.geometry is not None:
        return {int(number) for number in read_structures(molecule.geometry)[0].numbers}
    return set(read_smiles(molecule.smiles or "").numbers)


def _check_members(members: Sequence[MoleculeSettings]) -> list[str]:
    """Problems of molecules of one model whose levels or kinds of labels differ."""
    first, problems = members[0], []
    for other in members[1:]:
        for key in ("cheap", "accurate"):
            ours, theirs = getattr(first, key), getattr(other, key)
            if ours != theirs:
                problems.append(
                    f"{key}: found '{ours}' for molecule '{first.name}' and '{theirs}' for '{other.name}'; "
                    "write one level for all"
                )
            elif first.label_settings(ours).forces != other.label_settings(theirs).forces:
                problems.append(
                    f"labelling.{key}.forces: found true and false for molecules '{first.name}' and '{other.name}'; "
                    "write one for all"
                )
        if first.chain != other.chain:
            problems.append(
                f"chain: found {first.chain or 'null'} for molecule '{first.name}' and {other.chain or 'null'} for "
                f"'{other.name}'; write one for all"
            )
        alike = (first.charge, first.multiplicity) == (other.charge, other.multiplicity)
        if first.training.strategy == "delta" and not alike:
            problems.append(
                f"training.strategy: found delta with molecules '{first.name}' and '{other.name}' of different charges "
                "or multiplicities; write corrected"
            )
    return problems
