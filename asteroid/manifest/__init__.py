"""The manifest: one YAML file of defaults, molecules and models, checked before anything is spent.

A manifest is data from outside, so this is where plain-language errors live. Text comes in through
:mod:`asteroid.manifest.strict_yaml`, the blocks of settings through :mod:`asteroid.settings`.
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
