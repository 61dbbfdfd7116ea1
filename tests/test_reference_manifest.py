from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from asteroid.manifest import AcquisitionSettings, MoleculeSettings, load_manifest

REFERENCE = Path(__file__).parent.parent / "manifests" / "reference.yaml"


def test_the_reference_manifest_shows_every_key_with_its_default() -> None:
    (molecule,) = load_manifest(REFERENCE).molecules
    assert molecule == MoleculeSettings(name="formaldehyde", smiles="C=O")
    written = yaml.safe_load(REFERENCE.read_text())["defaults"]
    for block in ("sampling", "labelling", "budget", "training", "validation"):
        assert _keys(written[block]) == _fields(getattr(molecule, block))


def test_the_reference_manifest_shows_every_key_of_acquisition_in_comments_with_its_default() -> None:
    lines = REFERENCE.read_text().splitlines()
    first = lines.index("  # acquisition:")
    block = [line.removeprefix("  # ") for line in lines[first : lines.index("", first)]]
    written = yaml.safe_load("\n".join(block))["acquisition"]
    assert _keys(written) == _fields(AcquisitionSettings())
    assert AcquisitionSettings.model_validate(written) == AcquisitionSettings()


def _keys(block: dict[str, Any]) -> set[str]:
    return {
        f"{key}.{inner}" if inner else key
        for key, value in block.items()
        for inner in (_keys(value) if isinstance(value, dict) else {""})
    }


def _fields(settings: BaseModel) -> set[str]:
    found = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        found |= {f"{name}.{inner}" for inner in _fields(value)} if isinstance(value, BaseModel) else {name}
    return found
