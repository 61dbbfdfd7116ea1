"""The loop of rounds of a manifest's first model, in one process: what the tests run, kill and run again.

    python -m tests.stages.rounds MANIFEST

The order of :mod:`asteroid.pipeline.order`, without child processes.
"""

import sys
from collections.abc import Callable

from asteroid import stages
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.processes import die_with_starting_thread
from asteroid.stages import NextRound
from asteroid.stages.round_files import at_round
from asteroid.store import Store

Label = Callable[[Store, MoleculeSettings, LevelOfTheory], object]


def compute(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> None:
    stages.label(store, molecule, level, workers=1)


def run(store: Store, molecule: MoleculeSettings, label: Label = compute) -> NextRound:
    """Rounds until the loop ends by itself."""
    members = stages.trainers(molecule)
    for member in members:
        stages.sample(store, member, workers=1)
    while True:
        state = stages.next_round(store, molecule)
        if not state.picked and not state.stop:
            if state.number == 0:
                if stages.acquisition(molecule).core_hours is not None:
                    _label(store, state.settings, label)
                stages.begin_rounds(store, molecule)
            else:
                assert stages.lacks_batch(store, molecule)
                for member in members:
                    stages.explore(store, member)
                    assert not stages.lacks_exploration(store, member)
                _label(store, state.settings, label)
                for member in stages.trainers(state.settings):
                    stages.review_explored(store, member)
                    stages.measure_energy_cost(store, member)
                stages.pick(store, molecule)
            state = stages.next_round(store, molecule)
        if state.stop:
            return state
        assert stages.lacks_record(store, molecule)
        for member in members:
            stages.extend_selection(store, member, state.number)
        _label(store, state.settings, label)
        if stages.round_model(store, state.settings) is None:
            stages.train(store, state.settings, baseline=False)
        stages.record(store, molecule)
        assert not stages.lacks_record(store, molecule)


def judge(store: Store, molecule: MoleculeSettings) -> bool:
    """Certify the model of the last round; whether it passed."""
    last = at_round(molecule, stages.read_rounds(store, molecule)[-1])
    card = stages.train(store, last)
    stages.propose_evidence(store, last)
    while stages.propose_minimum(store, last, card.model_id):
        stages.label(store, last, last.accurate, workers=1)
    stages.label(store, last, last.accurate, workers=1)
    stages.compute_hessian(store, last)
    return stages.certify(store, last)


def _label(store: Store, molecule: MoleculeSettings, label: Label) -> None:
    for member in stages.trainers(molecule):
        stages.select(store, member)
        for level in (member.cheap, *member.ladder, member.accurate):
            label(store, member, level)


if __name__ == "__main__":
    die_with_starting_thread()
    loaded = stages.load_checked(sys.argv[1])
    run(Store(loaded.store), loaded.molecules[0])
