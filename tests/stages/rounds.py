"""The loop of rounds on a manifest's first molecule, in one process: what the tests run, kill and run again.

    python -m tests.stages.rounds MANIFEST

The stages in the order of :mod:`flows.rounds`, without Prefect.
"""

import sys

from asteroid import stages
from asteroid.manifest import MoleculeSettings
from asteroid.processes import die_with_starting_thread
from asteroid.stages import NextRound
from asteroid.stages.rounds import round_settings
from asteroid.store import Store


def run(store: Store, molecule: MoleculeSettings) -> NextRound:
    """Rounds until the loop ends by itself."""
    stages.sample(store, molecule, workers=1)
    while True:
        state = stages.next_round(store, molecule)
        if not state.picked and not state.stop:
            if state.number == 0:
                if stages.acquisition(molecule).core_hours is not None:
                    _label(store, state.settings)
                stages.begin_rounds(store, molecule)
            else:
                stages.acquire(store.url, molecule, "explore")
                _label(store, state.settings)
                stages.review_explored(store, molecule)
                stages.calculate(store, state.settings, "energy-cost")
                stages.acquire(store.url, molecule, "pick")
            state = stages.next_round(store, molecule)
        if state.stop:
            return state
        stages.extend_selection(store, molecule, state.number)
        _label(store, state.settings)
        if stages.round_model(store, state.settings) is None:
            stages.train(store.url, state.settings, baseline=False)
        stages.acquire(store.url, molecule, "record")


def judge(store: Store, molecule: MoleculeSettings) -> bool:
    """Certify the model of the last round; whether it passed."""
    last = round_settings(molecule, stages.read_rounds(store, molecule)[-1]["labels"])
    card = stages.train(store.url, last)
    stages.propose_evidence(store.url, last)
    while stages.propose_minimum(store, last, card["model_id"]):
        stages.label(store, last, last.accurate, workers=1)
    stages.label(store, last, last.accurate, workers=1)
    stages.calculate(store, last, "hessian")
    return stages.certify(store.url, last)


def _label(store: Store, molecule: MoleculeSettings) -> None:
    stages.select(store, molecule)
    for level in (molecule.cheap, molecule.accurate):
        stages.label(store, molecule, level, workers=1)


if __name__ == "__main__":
    die_with_starting_thread()
    loaded = stages.load_checked(sys.argv[1])
    run(Store(loaded.store), loaded.molecules[0])
