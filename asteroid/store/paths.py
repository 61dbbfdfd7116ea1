"""Layout of the store: folders below its root, and files that several modules read.

Layout (Hive partitions, values percent-encoded as Hive does)::

    frames/molecule=…/<batch>.parquet                       one file per sampling batch
    hessians/molecule=…/<hash>.json                         of conformers, eV/Å², at the level that samples
    hessians/level=…/molecule=…/<frame id>.json             of accurate minima, where they are analytic
    atoms/level=…/<element>.json                            energy and cost of a free atom, shared by molecules
    checked/level=…/molecule=…/<hash>.json                  forces of an engine's own level against finite differences
    selections/level=…/molecule=…/<name>.parquet            frames selected for labels, when and why
    labels/level=…/molecule=…/<unique>.parquet              one row per attempt; none at a composite level
    copies/<one of the three folders above>/<unique>.copy   many of its small files as one, read in their place
    models/<model>/<model id>/model.model, card.json        a card is written last: with it the model is complete
    models/<model>/<model id>/dipoles.json                  weights of its dipole model, where the labels have dipoles
    models/<model>/<model id>/molecules/<molecule>/…        of a model of several molecules: its minimum of each, …
    training-sets/<model>/<hash>.parquet                    training and held-out labels of a model, by frame and level
    checkpoints/<molecule>/<model id>/…                     of unfinished trainings and MD runs
    comparisons/<molecule>/<digest>.json                    result of one cell of a comparison
    acquisition/<model>/<digest>/…                          rounds of labels: what explored, was picked, came of it
    acquisition/<model>/<digest>/molecules/<molecule>/…     the same of a model of several molecules
    pilots/<molecule>/<digest>.json                         expected errors of chains of levels, from a pilot
    costs/<molecule>/<stage>-<unique>.json                  computing time of a process, except labels and trainings
    quotes/<molecule>/<digest>/<budget>.json                estimated cost before the run
    reports/<molecule>/…                                    certificate.json, report.html, comparison.json, chains.png …
    molecules/<molecule>.json                               structure of the molecule
    runs/<flow run>/<molecule>/<occasion>.json              shards of a Prefect run
    locks/<work>/…                                         locks that are held or waited for
"""

from typing import Literal
from urllib.parse import quote, unquote

from asteroid.configuration import check_name

REPORT_INDEX = "reports/index.html"
LOCKS = "locks"


def level_folder(kind: Literal["labels", "selections"], molecule: str, level: object) -> str:
    """Tables of one molecule at one level of theory."""
    return f"{kind}/level={quote(str(level), safe='')}/molecule={check_name(molecule)}"


def frames(molecule: str) -> str:
    return f"frames/molecule={check_name(molecule)}"


def partition_value(name: str) -> str:
    """Value in the name of a partition folder.

    >>> partition_value("level=hf%2F6-31g")
    'hf/6-31g'
    """
    return unquote(name.partition("=")[2])


def atoms(level: object) -> str:
    return f"atoms/level={quote(str(level), safe='')}"


def checked_level(molecule: str, level: object) -> str:
    """Of one molecule at one level: one file per program, version and settings."""
    return f"checked/level={quote(str(level), safe='')}/molecule={check_name(molecule)}"


def identity(molecule: str) -> str:
    return f"molecules/{molecule}.json"


def conformer_hessian(molecule: str, name: str) -> str:
    """At the cheap level."""
    return f"hessians/molecule={molecule}/{name}.json"


def analytic_hessians(molecule: str, level: object) -> str:
    """Of accurate minima: one ``<frame id>.json`` each."""
    return f"hessians/level={quote(str(level), safe='')}/molecule={molecule}"


def models(model: str) -> str:
    return f"models/{model}"


def model(model: str, model_id: str, name: str = "model.model") -> str:
    """A file of a model: the weights, or ``card.json``."""
    return f"models/{model}/{model_id}/{name}"


def dipole_model(model: str, model_id: str) -> str:
    return f"models/{model}/{model_id}/dipoles.json"


def model_molecule(model: str, model_id: str, molecule: str, name: str) -> str:
    """Results of a model for one molecule: ``minimum.json``, ``torsions.json`` and others."""
    folder = f"models/{model}/{model_id}"
    return f"{folder}/{name}" if molecule == model else f"{folder}/molecules/{molecule}/{name}"


def trained(model: str, name: str, *, round_only: bool = False) -> str:
    """Ids of the models trained with given settings and labels."""
    return f"models/{model}/index/{name}{'-round' if round_only else ''}.json"


def training_set(model: str, name: str) -> str:
    return f"training-sets/{model}/{name}.parquet"


def reports(molecule: str) -> str:
    return f"reports/{molecule}"


def report(molecule: str, folder: str, name: str) -> str:
    """A file of a certificate: ``certificate.json``, ``report.html``, ``answers.json`` and others."""
    return f"reports/{molecule}/{folder}/{name}"


def chains_picture(molecule: str) -> str:
    """Expected errors of the chains of levels, from ``asteroid plan``."""
    return f"reports/{molecule}/chains.png"


def comparison(molecule: str, name: str) -> str:
    """Result of one cell of ``asteroid compare``."""
    return f"comparisons/{molecule}/{name}.json"


def quotes(molecule: str, name: str) -> str:
    """Of some settings, ``<budget>.json`` each."""
    return f"quotes/{molecule}/{name}"


def pilots(molecule: str) -> str:
    return f"pilots/{molecule}"


def pilot(molecule: str, name: str) -> str:
    """Pilot of a molecule, by settings."""
    return f"pilots/{molecule}/{name}.json"


def costs(molecule: str) -> str:
    return f"costs/{molecule}"


def loops(model: str) -> str:
    return f"acquisition/{model}"


def loop(model: str, name: str) -> str:
    """Rounds of one model and settings."""
    return f"acquisition/{model}/{name}"


def loop_molecule(model: str, name: str, molecule: str) -> str:
    """Records of these rounds of one molecule of the model."""
    return loop(model, name) if molecule == model else f"{loop(model, name)}/molecules/{molecule}"


def shards(run_id: str, molecule: str, occasion: str) -> str:
    return f"runs/{run_id}/{molecule}/{quote(occasion, safe='')}.json"


def lock(work: str) -> str:
    return f"{LOCKS}/{quote(work, safe='')}"


def checkpoints(of: str) -> str:
    """Checkpoints of a training, ``<molecule>/<model id>``, or of the file that an MD run writes."""
    return f"checkpoints/{of}"
