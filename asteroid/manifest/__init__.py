"""The manifest: one YAML file of defaults, molecules and models, checked before anything is computed.

:mod:`asteroid.manifest.strict_yaml` reads the file, :mod:`asteroid.settings` defines the blocks of settings.
"""

from asteroid.manifest.reading import load_manifest
from asteroid.manifest.schema import Manifest, MoleculeSettings, SettledChain
from asteroid.settings import (
    AcquisitionSettings,
    BudgetSettings,
    LabellingSettings,
    LabelSettings,
    ModelSettings,
    SamplingSettings,
    Settings,
    Strategy,
    TrainingSettings,
    ValidationSettings,
)

__all__ = [
    "AcquisitionSettings",
    "BudgetSettings",
    "LabelSettings",
    "LabellingSettings",
    "Manifest",
    "ModelSettings",
    "MoleculeSettings",
    "SamplingSettings",
    "Settings",
    "SettledChain",
    "Strategy",
    "TrainingSettings",
    "ValidationSettings",
    "load_manifest",
]
