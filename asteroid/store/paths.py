"""Where everything lies in a store: the folders from the store's root, and the files that several modules read.

Layout (Hive partitions, values percent-encoded as Hive does)::

    frames/molecule=…/<batch>.parquet                       one file a sampling batch
    hessians/molecule=…/<hash>.json                         of conformers, eV/Å², at the level that samples
    hessians/level=…/molecule=…/<frame id>.json             of accurate minima, where they are analytic
    atoms/level=…/<element>.json                            energy of a free atom and what it cost, shared by molecules
    checked/level=…/molecule=…/<hash>.json                  forces of an engine's own level against finite differences
    selections/level=…/molecule=…/<name>.parquet            which frames were chosen for a label, when and why
    labels/level=…/molecule=…/<unique>.parquet              one row an attempt
    copies/<one of the three folders above>/<unique>.copy   many of its small files as one, read in their place
    models/<model>/<model id>/model.model, card.json        a card is written last: with it the model is complete
    models/<model>/<model id>/molecules/<molecule>/…        of a model of several molecules: its minimum of each, …
    training-sets/<model>/<hash>.parquet                    labels that trained and judged a model, by frame and level
    checkpoints/<molecule>/<model id>/…                     of trainings that have not finished; MD's likewise
    comparisons/<molecule>/<digest>.json                    what one model of a comparison came to
    acquisition/<model>/<digest>/…                          rounds of labels: what explored, was picked, came of it
    acquisition/<model>/<digest>/molecules/<molecule>/…     the same of a model of several molecules
    pilots/<molecule>/<digest>.json                         what few labels promise for each chain of levels
    costs/<molecule>/<stage>-<unique>.json                  seconds used by a process: not for labels and trainings
    quotes/<molecule>/<digest>/<budget>.json                what was quoted before anything was spent
    reports/<molecule>/…                                    certificate.json, report.html, comparison.json and .html
    molecules/<molecule>.json                               which structure the name stands for
    runs/<flow run>/<molecule>/<occasion>.json              how a run of Prefect's has divided its labels
    locks/<work>/…                                         who works on what right now
"""

from typing import Literal
from urllib.parse import quote, unquote

from asteroid.configuration import check_name

REPORT_INDEX = "reports/index.html"


def level_folder(kind: Literal["labels", "selections"], molecule: str, level: object) -> str:
    """Of the tables of one molecule at one level of theory."""
    return f"{kind}/level={quote(str(level), safe='')}/molecule={check_name(molecule)}"


def frames(molecule: str) -> str:
    return f"frames/molecule={check_name(molecule)}"


def partition_value(name: str) -> str:
    """What the name of a partition's folder stands for.

    >>> partition_value("level=hf%2F6-31g")
    'hf/6-31g'
    """
    return unquote(name.partition("=")[2])


def atoms(level: object) -> str:
    return f"atoms/level={quote(str(level), safe='')}"


def checked_level(molecule: str, level: object) -> str:
    """Of one molecule at one level, a file for each program, version and settings."""
    return f"checked/level={quote(str(level), safe='')}/molecule={check_name(molecule)}"


def identity(molecule: str) -> str:
    return f"molecules/{molecule}.json"


def conformer_hessian(molecule: str, name: str) -> str:
    """At the cheap level."""
    return f"hessians/molecule={molecule}/{name}.json"


def analytic_hessians(molecule: str, level: object) -> str:
    """Of accurate minima, ``<frame id>.json`` each."""
    return f"hessians/level={quote(str(level), safe='')}/molecule={molecule}"


def models(model: str) -> str:
    return f"models/{model}"


def model(model: str, model_id: str, name: str = "model.model") -> str:
    """A file of a model: the weights, or ``card.json``."""
    return f"models/{model}/{model_id}/{name}"


def model_molecule(model: str, model_id: str, molecule: str, name: str) -> str:
    """What a model says of one molecule: ``minimum.json``, ``torsions.json`` and others."""
    folder = f"models/{model}/{model_id}"
    return f"{folder}/{name}" if molecule == model else f"{folder}/molecules/{molecule}/{name}"


def trained(model: str, name: str, *, round_only: bool = False) -> str:
    """Which models some settings and labels have led to."""
    return f"models/{model}/index/{name}{'-round' if round_only else ''}.json"


def training_set(model: str, name: str) -> str:
    return f"training-sets/{model}/{name}.parquet"


def reports(molecule: str) -> str:
    return f"reports/{molecule}"


def report(molecule: str, folder: str, name: str) -> str:
    """A file of a certificate: ``certificate.json``, ``report.html``, ``answers.json`` and others."""
    return f"reports/{molecule}/{folder}/{name}"


def comparison(molecule: str, name: str) -> str:
    """Of one training of ``asteroid compare``."""
    return f"comparisons/{molecule}/{name}.json"


def quotes(molecule: str, name: str) -> str:
    """Of some settings, ``<budget>.json`` each."""
    return f"quotes/{molecule}/{name}"


def pilots(molecule: str) -> str:
    return f"pilots/{molecule}"


def pilot(molecule: str, name: str) -> str:
    """Of a molecule's chain of levels, by what was asked for."""
    return f"pilots/{molecule}/{name}.json"


def costs(molecule: str) -> str:
    return f"costs/{molecule}"


def loops(model: str) -> str:
    return f"acquisition/{model}"


def loop(model: str, name: str) -> str:
    """Of the rounds of some settings."""
    return f"acquisition/{model}/{name}"


def loop_molecule(model: str, name: str, molecule: str) -> str:
    """Of these rounds, the records of one of the model's molecules."""
    return loop(model, name) if molecule == model else f"{loop(model, name)}/molecules/{molecule}"


def shards(run_id: str, molecule: str, occasion: str) -> str:
    return f"runs/{run_id}/{molecule}/{quote(occasion, safe='')}.json"


def lock(work: str) -> str:
    return f"locks/{quote(work, safe='')}"


def checkpoints(of: str) -> str:
    """Of a training, ``<molecule>/<model id>``, or of the file that an MD run will leave."""
    return f"checkpoints/{of}"
