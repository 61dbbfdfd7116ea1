"""Number of earlier tests of a model on the same frames: repeated tests must not pass a model by chance.

After a failed certificate, more labels lead to another model, which is tested on the same frames, in active learning or
with a larger budget of the user. :func:`asteroid.validation.intervals.confidence_of_look` raises the confidence of a
bound with the number of looks, as in sequential testing. On-policy frames differ between models; they are tested again
only when more of them are requested.
"""

from typing import TYPE_CHECKING

from asteroid.manifest import MoleculeSettings
from asteroid.store import Store

if TYPE_CHECKING:
    from asteroid.validation.certificate import Certificate, Looks


def count_looks(
    store: Store, molecule: MoleculeSettings, model_id: str, test: tuple[str, ...], on_policy: tuple[str, ...]
) -> "Looks":
    """Number of tests on these frames, this one included, from the certificates of other models or frame sets in the
    store.

    Args:
        test, on_policy: ids of the frames of this test.
    """
    from asteroid.validation.certificate import Looks, read_certificates

    earlier = read_certificates(store, molecule.name).values()
    alike = [found for found in earlier if found.levels.accurate == str(molecule.accurate)]
    return Looks(
        test=_looks([(c.model_id, c.errors.frame_ids) for c in alike], model_id, test),
        on_policy=_looks([(c.model_id, _on_policy(c)) for c in alike], model_id, on_policy),
    )


def _looks(earlier: list[tuple[str, tuple[str, ...]]], model_id: str, frames: tuple[str, ...]) -> int:
    """One plus the number of other (model, frames) pairs that share a frame with these."""
    now = (model_id, frozenset(frames))
    others = {(model, frozenset(ids)) for model, ids in earlier if set(ids) & set(frames)}
    return 1 + len(others - {now})


def _on_policy(certificate: "Certificate") -> tuple[str, ...]:
    found = certificate.evidence.on_policy
    return found.errors.frame_ids if found and found.errors else ()
