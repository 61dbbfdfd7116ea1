"""Python interface: compute labels, run a manifest, read a store and use its models.

Heavy packages are imported on first use. Units are eV, Å, e and u; forces are −dE/dR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asteroid import notebook
from asteroid.configuration import hill_formula
from asteroid.quantities import format_quantity

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from ase.md.md import MolecularDynamics

    from asteroid.store import Store


class Outcomes(list[dict[str, Any]]):
    """Outcomes of :func:`run`; notebooks show them as a table."""

    def _repr_html_(self) -> str:
        rows = [
            [one["molecule"], f"failed: {one['failure']}", "", "", ""]
            if "failure" in one
            else [
                one["molecule"],
                "certified" if one["passed"] else f"not certified ({one['state']})",
                one["quality"],
                one["benefit"],
                one["report"],
            ]
            for one in self
        ]
        return notebook.table("models", ["molecule", "", "accuracy", "gain", "report"], rows)


class CertificateContent(dict[str, Any]):
    """A certificate as in its JSON file; notebooks show its lines as a table."""

    def __repr__(self) -> str:
        # All of it would be thousands of lines.
        return f"<certificate of {self._title()}; fields: {', '.join(self)}>"

    def _title(self) -> str:
        verdict = "certified" if self["passed"] else f"not certified ({self['state']})"
        return f"{self['molecule']}, model {self['model_id']}: {verdict}"

    def _repr_html_(self) -> str:
        rows = [
            [
                line["name"],
                *(
                    "–" if line[key] is None else format_quantity(line[key], line["unit"])
                    for key in ("value", "bound", "threshold")
                ),
                line["state"],
            ]
            for line in self["lines"]
        ]
        return notebook.table(self._title(), ["requirement", "value", "bound", "threshold", ""], rows)


def run(manifest: str | Path, *, store: str | Path | None = None, quiet: bool = False) -> Outcomes:
    """Run the whole pipeline of a manifest on this machine, as ``asteroid run`` does.

    After an interruption, call it again to continue. It also works in a notebook.

    Args:
        manifest: path of the YAML file.
        store: folder or URL; by default that of the manifest.
        quiet: print nothing.

    Returns:
        For each molecule what ``asteroid run --json`` prints: ``molecule``, ``passed``, ``force_mae`` in eV/Å,
        ``energy_mae`` in eV/atom, locations of ``model`` and ``report``, and more; or ``failure``, the reason.

    Raises:
        InputError: for mistakes in the manifest, one line each.
    """
    from rich.console import Console

    from asteroid.pipeline.local import run as run_here
    from asteroid.stages import load_checked

    loaded = load_checked(Path(manifest))
    where = open_store(loaded.store if store is None else store).files
    return Outcomes(run_here(where, loaded.molecules, console=Console(highlight=False, quiet=quiet)))


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
    """Energy and forces at a level of theory, computed in worker processes and not stored.

    Args:
        atoms: one molecule or several, which may be different ones.
        level: such as ``"gfn2-xtb"``, ``"ccsd(t)/cc-pvdz"``, ``"ccsd(t)/cbs(d,t)"`` or ``"potential:so3lr"``.
        charge: e; by default ``atoms.info["charge"]`` or 0.
        multiplicity: 2S + 1; by default ``atoms.info["spin"]`` or the lowest.
        engine: for levels that several engines compute, such as ``"tblite"`` and ``"xtb"``.
        forces: False for energies alone.
        workers: number of processes with one thread each.

    Returns:
        An :class:`~asteroid.store.rows.Attempt`, or a list in the order of the molecules: ``status`` ("ok", or
        "failed" or "rejected" with a ``reason``), ``energy`` in eV, ``forces`` (N, 3) in eV/Å, ``dipole`` (3,) in e·Å
        if the level has one, ``core_seconds``.

    Raises:
        InputError: for an unknown level, or one that is not validated for the molecule.
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
    """Read access to a store by tables, see :func:`open_store`.

    Args:
        files: the store itself, with its full interface.
    """

    files: "Store"

    def molecules(self) -> list[str]:
        """Names of all molecules with frames."""
        return self.files.molecules()

    def levels(self, molecule: str) -> list[str]:
        """Levels of theory with labels, or with frames to be labelled."""
        return [str(level) for level in self.files.levels(molecule)]

    def frames(self, molecule: str) -> "pd.DataFrame":
        """One row per frame: ``frame_id``, ``numbers``, ``positions`` in Å, ``split``, origin and more."""
        found: pd.DataFrame = self.files.frame_table(molecule).to_pandas()
        return found

    def labels(self, molecule: str, level: str) -> "pd.DataFrame":
        """One row per accepted label: ``frame_id``, ``energy`` in eV, ``forces`` in eV/Å and more.

        Raises:
            InputError: for an unknown level.
        """
        from asteroid.levels import LevelOfTheory

        found: pd.DataFrame = self.files.label_table(molecule, LevelOfTheory.parse(level, imported=True)).to_pandas()
        return found

    def certificate(self, molecule: str) -> CertificateContent | None:
        """The newest certificate of a molecule as in its JSON file; None without one."""
        from asteroid.validation.certificate import read_certificates
        from asteroid.validation.line import with_state

        found = read_certificates(self.files, molecule)
        newest = max(found, key=lambda path: found[path].created, default=None)
        return None if newest is None else CertificateContent(with_state(self.files.read_json(newest)))

    def _repr_html_(self) -> str:
        rows = []
        for molecule in self.molecules():
            found = self.certificate(molecule)
            state = "" if found is None else "certified" if found["passed"] else f"not certified ({found['state']})"
            labels = ", ".join(
                f"{row['ok']} {row['level']}" + (f" ({row['to_do']} to do)" if row["to_do"] else "")
                for row in self.files.status(molecule)
            )
            formula = hill_formula(self.files.frame_table(molecule)["numbers"][0].as_py())
            rows.append([molecule, formula, labels, state])
        return notebook.table(self.files.location(""), ["molecule", "", "labels", "model"], rows)


def open_store(url: str | Path) -> OpenStore:
    """Open a store: a folder or ``s3://bucket/prefix``. Nothing is created.

    Raises:
        InputError: for an invalid URL.
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
    """ASE calculator of a molecule's model: energy, forces, and the dipole if the accurate labels have dipoles.

    It warns for molecules that the model was not trained on, and refuses unknown elements. No code of the model's file
    is run.

    Beside energy and forces it has ``calculator.get_property("forces_uncertainty", atoms)``: a bound (N,) in eV/Å on
    the error of the force on each atom. For 95 % of frames like the held-out ones, no atom's error exceeds its bound.
    :func:`watch` stops MD where the bounds become too large. A Δ-model has none.

    Args:
        molecule: with a certificate of the model; or the name of a model, together with ``model_id``.
        model_id: by default that of the newest certificate.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Raises:
        InputError: if there is no such model.
        StoreError: if the model file was changed.
    """
    from asteroid.stages.common import import_mace

    # Its first import prints, which would stand in every notebook.
    import_mace()

    from asteroid.acquisition.known_region import known_region
    from asteroid.training.run import load_calculator
    from asteroid.validation.certificate import find_model

    files = (store if isinstance(store, OpenStore) else open_store(store)).files
    name, found = find_model(files, molecule, model_id)
    return load_calculator(files, name, found, device=device, dtype=dtype, region=known_region)


def watch(dynamics: "MolecularDynamics", *, every: int = 20, looks: int = 3, limit: float | None = None) -> None:
    """Stop MD of ASE when the model leaves what it knows: its ``run`` then raises :class:`LeftKnownRegion`.

    Args:
        dynamics: of atoms with a calculator of :func:`load_model`.
        every: steps between looks; a look costs less than a step.
        looks: how many in a row must exceed the limit, so that a rare vibration does not stop it.
        limit: eV/Å, on the largest bound of an atom; by default three times that of frames like the held-out ones.

    Raises:
        InputError: for another calculator, a Δ-model, or a model with too few held-out frames.
    """
    from asteroid.simulation.watch import watch

    watch(dynamics, every=every, looks=looks, limit=limit)
