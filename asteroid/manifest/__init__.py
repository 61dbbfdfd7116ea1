"""The manifest: one YAML file of defaults, molecules and models, checked before anything is computed.

:mod:`asteroid.manifest.strict_yaml` reads the file, :mod:`asteroid.settings` defines the blocks of settings.
"""

from asteroid.manifest.reading import check_manifest, load_manifest
from asteroid.manifest.schema import Manifest, ModelPlan, MoleculeSettings
from asteroid.settings import (
    AcquisitionSettings,
    BudgetSettings,
    Engine,
    LabellingSettings,
    LabelSettings,
    ModelSettings,
    Sampler,
    SamplingSettings,
    Settings,
    Strategy,
    ThresholdSettings,
    TrainingSettings,
    ValidationSettings,
)

__all__ = [
    "AcquisitionSettings",
    "BudgetSettings",
    "Engine",
    "LabelSettings",
    "LabellingSettings",
    "Manifest",
    "ModelPlan",
    "ModelSettings",
    "MoleculeSettings",
    "Sampler",
    "SamplingSettings",
    "Settings",
    "Strategy",
    "ThresholdSettings",
    "TrainingSettings",
    "ValidationSettings",
    "check_manifest",
    "load_manifest",
]
