"""How often the frames of a certificate have been judged before: those of a better model must not pass by chance.

A failed certificate leads to more labels and another model, which the same test frames judge again, in a loop of rounds
or by a person who raises the budget. :func:`asteroid.validation.intervals.confidence_of_look` says how much surer a
bound must be then. Frames of a model's own MD are other ones for another model; they are judged again where more of
them were asked for.
"""

from typing import TYPE_CHECKING

from asteroid.manifest import MoleculeSettings
from asteroid.store import Store, paths, records

if TYPE_CHECKING:
    from asteroid.validation.certificate import Certificate, Looks


def count_looks(
    store: Store, molecule: MoleculeSettings, model_id: str, test: tuple[str, ...], on_policy: tuple[str, ...]
) -> "Looks":
    """From the certificates in the store of other models, or of other frames, that share any of these frames.

    Args:
        test, on_policy: ids of the frames that are about to be judged.
    """
    from asteroid.validation.certificate import Certificate, Looks

    names = store.names(paths.reports(molecule.name))
    files = [paths.report(molecule.name, name, "certificate.json") for name in names]
    earlier = [records.read(store, Certificate, file) for file in files if store.exists(file)]
    alike = [found for found in earlier if found.levels.accurate == str(molecule.accurate)]
    return Looks(
        test=_looks([(c.model_id, c.errors.frame_ids) for c in alike], model_id, test),
        on_policy=_looks([(c.model_id, _on_policy(c)) for c in alike], model_id, on_policy),
    )


def _looks(earlier: list[tuple[str, tuple[str, ...]]], model_id: str, frames: tuple[str, ...]) -> int:
    """The same model on the same frames is the same look, whatever else its certificate asked."""
    now = (model_id, frozenset(frames))
    others = {(model, frozenset(ids)) for model, ids in earlier if set(ids) & set(frames)}
    return 1 + len(others - {now})


def _on_policy(certificate: "Certificate") -> tuple[str, ...]:
    found = certificate.evidence.on_policy
    return found.errors.frame_ids if found and found.errors else ()
