"""What ``import asteroid`` offers: label, run a manifest, open a store and use its models, from Python or a notebook.

Everything heavy is imported when it is first used. Units are eV, Å, e and amu; forces are −dE/dR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asteroid.errors import InputError
from asteroid.store import paths

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from asteroid.store import Store


def run(manifest: str | Path, *, store: str | Path | None = None, quiet: bool = False) -> list[dict[str, Any]]:
    """Run the whole pipeline of a manifest on this machine, as ``asteroid run`` does.

    It can be interrupted and called again: it goes on where things stand. Works in a notebook, too.

    Args:
        store: folder or URL; the manifest's own when not given.
        quiet: print nothing.

    Returns:
        For each molecule what ``asteroid run --json`` prints: ``molecule``, ``passed``, ``force_mae`` in eV/Å,
        ``energy_mae`` in eV/atom, where ``model`` and ``report`` lie, and more; or ``failure``, the reason.

    Raises:
        InputError: for a manifest with mistakes; one line each.
    """
    from rich.console import Console

    from asteroid.pipeline.local import run as run_here
    from asteroid.stages import load_checked

    loaded = load_checked(Path(manifest))
    where = open_store(loaded.store if store is None else store).files
    return run_here(where, loaded.molecules, console=Console(highlight=False, quiet=quiet))


def label(
    atoms: "Atoms | Sequence[Atoms]",
    level: str,
    *,
    charge: int | None = None,
    multiplicity: int | None = None,
    engine: str | None = None,
    forces: bool = True,
    workers: int = 1,
) -> Any:
    """Energy and forces at a level of theory, computed in worker processes and stored nowhere.

    Args:
        atoms: one molecule, or several, which may differ.
        level: such as ``"gfn2-xtb"``, ``"ccsd(t)/cc-pvdz"``, ``"ccsd(t)/cbs(d,t)"`` or ``"potential:so3lr"``.
        charge: in e; that of ``atoms.info["charge"]`` when not given, else 0.
        multiplicity: 2S + 1; that of ``atoms.info["spin"]`` when not given, else the lowest.
        engine: where several compute the level, such as ``"tblite"`` and ``"xtb"``.
        workers: processes, of one thread each.

    Returns:
        An :class:`~asteroid.store.rows.Attempt`, or a list of them in the order of the molecules: ``status`` ("ok",
        else "failed" or "rejected" with a ``reason``), ``energy`` in eV, ``forces`` (N, 3) in eV/Å, ``dipole`` (3,)
        in e·Å where the level gives one, ``core_seconds``.

    Raises:
        InputError: for a level that does not exist, or is not proved for such a molecule.
    """
    from ase import Atoms

    from asteroid.chemistry.geometry_files import configuration_of
    from asteroid.engines import resolve
    from asteroid.labelling.campaign import label_in_order
    from asteroid.levels import LevelOfTheory

    several = [atoms] if isinstance(atoms, Atoms) else atoms
    configurations = [configuration_of(one, charge=charge, multiplicity=multiplicity) for one in several]
    parsed = resolve(LevelOfTheory.parse(level))
    labels = label_in_order(configurations, parsed, engine=engine, workers=workers, forces=forces)
    return labels[0] if isinstance(atoms, Atoms) else labels


@dataclass(frozen=True)
class OpenStore:
    """What lies in a store, as tables. Made by :func:`open_store`.

    Args:
        files: the store itself, with everything else that can be asked of it.
    """

    files: "Store"

    def molecules(self) -> list[str]:
        """Names of the molecules that have frames."""
        return self.files.molecules()

    def levels(self, molecule: str) -> list[str]:
        """Levels of theory at which a molecule has labels, or frames chosen for them."""
        return [str(level) for level in self.files.levels(molecule)]

    def frames(self, molecule: str) -> "pd.DataFrame":
        """A row for each frame: ``frame_id``, ``numbers``, ``positions`` in Å, ``split`` and where it came from."""
        found: pd.DataFrame = self.files.frame_table(molecule).to_pandas()
        return found

    def labels(self, molecule: str, level: str) -> "pd.DataFrame":
        """A row for each frame with an accepted label: ``frame_id``, ``energy`` in eV, ``forces`` in eV/Å and more.

        Raises:
            InputError: for a level that does not exist.
        """
        from asteroid.levels import LevelOfTheory

        found: pd.DataFrame = self.files.label_table(molecule, LevelOfTheory.parse(level, imported=True)).to_pandas()
        return found

    def certificate(self, molecule: str) -> dict[str, Any] | None:
        """The newest certificate of a molecule, as the report holds it; None where there is none."""
        names = self.files.names(paths.reports(molecule))
        there = [paths.report(molecule, name, "certificate.json") for name in names]
        found = map(self.files.read_json, filter(self.files.exists, there))
        return max(found, key=lambda found: str(found["created"]), default=None)


def open_store(url: str | Path) -> OpenStore:
    """A store: a folder, or ``s3://bucket/prefix``. Nothing is created there before something is written.

    Raises:
        InputError: when the URL cannot be understood.
    """
    from asteroid.store import Store

    return OpenStore(Store(str(url)))


def load_model(
    store: OpenStore | str | Path,
    molecule: str,
    *,
    model_id: str | None = None,
    device: str = "auto",
    dtype: Literal["float32", "float64"] = "float64",
) -> "Calculator":
    """An ASE calculator of a molecule's model.

    It warns when it is asked for a molecule that the model was not trained on, and refuses elements that it does not
    know. A model is a pickle, which runs code when it is loaded: only open stores of people you trust.

    Args:
        molecule: that the model was judged on; or the name of a model, with its ``model_id``.
        model_id: which one; that of the newest certificate when not given.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``.

    Raises:
        InputError: where there is no such model.
        StoreError: for a model that has changed since it was written.
    """
    from asteroid.training.run import load_calculator

    opened, name = store if isinstance(store, OpenStore) else open_store(store), molecule
    if model_id is None:
        certificate = opened.certificate(molecule)
        if certificate is None:
            known = [name for name in opened.molecules() if opened.certificate(name)]
            there = f"there are those of {', '.join(known)}" if known else "there are none yet"
            raise InputError(f"{opened.files.location('reports')}: no certificate of {molecule!r}; {there}")
        model_id, name = str(certificate["model_id"]), str(certificate.get("model", molecule))
    return load_calculator(opened.files, name, model_id, device=device, dtype=dtype)
