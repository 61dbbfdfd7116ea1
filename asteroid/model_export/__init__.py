"""Export of finished models for other programs: ``asteroid export-model``.

:func:`export_model` writes one folder: the MACE model, an example for the program that first checks the model and then
runs MD (:mod:`asteroid.model_export.programs`), the card with its limits (:mod:`asteroid.model_export.card`), and a
model card as on Hugging Face (:mod:`asteroid.model_export.readme`).
"""

from asteroid.model_export.export import export_model
from asteroid.model_export.programs import PROGRAMS

__all__ = ["PROGRAMS", "export_model"]
