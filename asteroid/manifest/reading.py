"""Read a manifest file: a :class:`~asteroid.manifest.schema.Manifest`, or an error with all its problems."""

from pathlib import Path

from asteroid.errors import InputError, suggest
from asteroid.manifest.entries import check_duplicates, entry_label
from asteroid.manifest.models import read_models
from asteroid.manifest.molecules import check_levels, read_molecule
from asteroid.manifest.schema import Defaults, FileEntry, Manifest, MoleculeSettings
from asteroid.manifest.strict_yaml import read_yaml
from asteroid.problems import printable, validate
from asteroid.store.files import SECRET_IN_URL, has_secret

LONGEST_PROBLEM = 600
"""Largest number of characters of a problem, which may quote the manifest."""
STORE_SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs")


def load_manifest(path: str | Path) -> Manifest:
    """Read a manifest and check all of it.

    Raises:
        InputError: with every problem found, one line each: file, key, what was found, what to write.
    """
    path = Path(path)
    content = read_yaml(path)
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise InputError(f"{path}: found {found}; write keys and values, at least molecules:")
    top, problems = validate(FileEntry, content)
    raw_defaults = content.get("defaults") or {}
    raw_molecules = content.get("molecules")
    defaults_usable = isinstance(raw_defaults, dict)
    if defaults_usable:
        found_here = validate(Defaults, raw_defaults)[1] + check_levels(raw_defaults, path.parent)
        problems += [f"defaults.{problem}" for problem in found_here]
        defaults_usable = not found_here
    if top is not None and (problem := _check_store(top.store)):
        problems.append(problem)
    molecules: list[MoleculeSettings] = []
    if isinstance(raw_molecules, list):
        if not raw_molecules:
            problems.append("molecules: found an empty list; write at least one molecule")
        for index, raw in enumerate(raw_molecules):
            molecule, found_here = read_molecule(raw, raw_defaults if defaults_usable else {}, path.parent)
            problems += [f"{entry_label(index, raw)}: {problem}" for problem in found_here]
            if molecule is not None:
                molecules.append(molecule)
        problems += check_duplicates(raw_molecules, "molecules")
    if top is not None and top.models and not problems:
        molecules, problems = read_models(top, molecules, path.parent)
    if problems or top is None:
        raise InputError([f"{path}: {printable(problem, most=LONGEST_PROBLEM)}" for problem in problems])
    return Manifest(path, top.store, tuple(molecules))


def _check_store(store: str) -> str | None:
    if has_secret(store):
        return f"store: {SECRET_IN_URL}"
    scheme, separator, _ = store.partition("://")
    if not store.strip() or "\0" in store:
        return f"store: found {store!r}; write a folder or s3://bucket/prefix"
    if separator and scheme not in STORE_SCHEMES:
        return f"store: found the scheme '{scheme}'; {suggest(scheme, STORE_SCHEMES)}"
    return None
