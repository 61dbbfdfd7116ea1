"""The loop of rounds: its steps in child processes, its table in the UI."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from asteroid import stages
from asteroid.manifest import AcquisitionSettings, BudgetSettings, MoleculeSettings, SettledChain, TrainingSettings
from asteroid.pipeline.local import LocalRunner
from asteroid.pipeline.order import run_rounds
from asteroid.store import Store
from asteroid.store.round_records import Decision, ErrorInterval, LabelChoice, PickedFrame, RoundCost, RoundRecord
from flows.markdown import rounds_markdown

LOOP = AcquisitionSettings(
    initial=7, batch=3, rounds=2, least_gain=0.0, committee=2, temperatures=(300.0,), ps=0.01, replicas=5
)


def test_what_a_worker_is_told_of_a_molecule_with_rounds_comes_back_the_same() -> None:
    adapter, molecule = TypeAdapter(MoleculeSettings), MoleculeSettings(name="water", smiles="O", acquisition=LOOP)
    assert adapter.validate_python(adapter.dump_python(molecule, mode="json")) == molecule


def test_what_a_worker_is_told_of_a_chosen_chain_comes_back_the_same() -> None:
    adapter = TypeAdapter(MoleculeSettings)
    molecule = MoleculeSettings(
        name="water",
        smiles="O",
        acquisition=LOOP,
        chain=SettledChain(120.0, 40),
        budget=BudgetSettings(ladder=(81,)),
        training=TrainingSettings(ladder=("mp2/cc-pvdz",)),
    )
    assert adapter.validate_python(adapter.dump_python(molecule, mode="json")) == molecule


def test_the_table_of_rounds_says_what_was_picked_why_it_goes_on_and_what_it_cost() -> None:
    error = ErrorInterval(0.0123, 0.01, None)
    record = RoundRecord(
        round=1,
        model_id="a",
        labels=30,
        accurate_labels=30,
        criterion="committee+diverse",
        picked=tuple(
            PickedFrame(frame_id="f", split="train", source=source)
            for source in ("exploring MD", "exploring MD", "turned bonds")
        ),
        calibration=None,
        explored=None,
        fresh_error=error,
        held_out=error,
        curve=(error,),
        core_seconds=RoundCost(1800.0, 900.0, 900.0),
        decision=Decision(False, "it pays"),
    )
    rows = rounds_markdown("water", [record, replace(record, fresh_error=None)], "enough").splitlines()
    assert (
        "| 1 | 30 | committee+diverse: 2 from exploring MD, 1 from turned bonds | 12.3 (10 to ∞) | 12.3 (10 to ∞) | 1 "
        "| it pays |" in rows
    )
    assert rows[-1] == "Ended: enough."
    failed = replace(record, because=("Error of torsion energies",), bought=LabelChoice("energies", ""))
    assert (
        "1 from turned bonds; energies alone (the previous certificate failed in: Error of torsion energies) |"
        in rounds_markdown("water", [failed])
    )


class Watched(LocalRunner):
    """This machine, and what it was told to show of the rounds."""

    async def show_rounds(
        self, molecule: MoleculeSettings, rounds: Sequence[RoundRecord], stop: str | None = None
    ) -> None:
        self.shown = rounds_markdown(molecule.name, rounds, stop)


@pytest.mark.slow
def test_rounds_end_in_a_trained_model_and_show_themselves(manifest: Path, image_packages: None) -> None:
    (molecule,) = stages.load_checked(manifest).molecules
    # One that takes no more steps than the fixture says.
    training = molecule.training.model_copy(update={"strategy": "unweighted"})
    molecule = replace(molecule, acquisition=LOOP, training=training)
    store = Store(str(manifest.parent / "store"))
    runner = Watched()

    async def loop() -> Sequence[MoleculeSettings]:
        await runner.run("sample", store, molecule)
        return await run_rounds(store, [molecule], runner)

    (settings,) = asyncio.run(loop())
    rounds = [found["water"] for found in stages.read_rounds(store, molecule)]
    assert [found.accurate_labels for found in rounds] == [7, 10]
    assert settings.budget.accurate == 10
    assert stages.round_model(store, settings) == rounds[-1].model_id
    assert runner.shown.endswith(f"Ended: {rounds[-1].decision.reason}.")
