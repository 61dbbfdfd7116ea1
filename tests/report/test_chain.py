"""The chain of levels that a pilot chose, on the page."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

from asteroid.levels import LevelOfTheory
from asteroid.report.chain import find_pilot
from asteroid.report.chain_plots import expected_errors
from asteroid.report.cost import collect_costs
from asteroid.report.write import write_report
from asteroid.store import paths, records
from asteroid.store.account import charge
from asteroid.store.chain_records import Chain, Pilot, ResidualCurve
from asteroid.store.rows import Attempt
from asteroid.usage import Usage
from tests.report.pages import FOLDER, Page
from tests.validation.certificates import make_card, make_certificate, make_scratch_card

CHOSEN = Chain(("hf/6-31g", "ccsd(t)/cc-pvdz"), (90, 15), 3600.0, 0.0123, (0.012, 0.003))
PILOT = Pilot(
    frames=12,
    prices={"hf/6-31g": 1.0, "ccsd(t)/cc-pvdz": 60.0},
    budget=3600.0,
    curves=(
        ResidualCurve("gfn2-xtb", "hf/6-31g", 0.2, 0.6, ((4, 0.1), (11, 0.05))),
        ResidualCurve("hf/6-31g", "ccsd(t)/cc-pvdz", 0.02, 0.7, ((4, 0.008), (11, 0.004))),
        ResidualCurve("gfn2-xtb", "ccsd(t)/cc-pvdz", 0.5, 0.7, ((4, 0.2), (11, 0.1))),
    ),
    chains=(CHOSEN, Chain(("ccsd(t)/cc-pvdz",), (50,), 3000.0, 0.0345, (0.0345,))),
    chosen=CHOSEN,
)


def test_a_pilot_belongs_to_the_models_of_its_chain(store):
    records.write(store, paths.pilot("water", "cafe"), PILOT)
    card = make_card()
    of_chain = replace(card, accurate="ccsd(t)/cc-pvdz", settings={**card.settings, "ladder": ["hf/6-31g"]})
    of_chain = replace(of_chain, cheap="gfn2-xtb")
    assert find_pilot(store, "water", of_chain) == PILOT
    assert find_pilot(store, "water", replace(of_chain, cheap="gfn1-xtb")) is None, "a pilot of another cheap level"
    assert find_pilot(store, "water", replace(of_chain, settings={**card.settings, "ladder": []})) is None
    assert find_pilot(store, "methanol", of_chain) is None
    many = replace(of_chain.frames, accurate_train=tuple(f"frame-{i}" for i in range(16)))
    assert find_pilot(store, "water", replace(of_chain, frames=many)) is None, "more labels than this chain has"


def test_labels_of_levels_that_were_tried_in_vain_and_the_choice_are_part_of_the_bill(store):
    tried = replace(PILOT, prices={**PILOT.prices, "mp2/6-31g": 5.0})
    made = Attempt(frame_id="f", status="ok", energy=-1.0, cpu_seconds=7.0, time=dt.datetime.now(dt.UTC))
    store.add_attempts("water", LevelOfTheory.parse("mp2/6-31g"), [made])
    with charge(store, "water", "exploration", own=False) as entry:
        entry.add(Usage(cpu=30.0))
    costs = {c.stage: c.core_seconds for c in collect_costs(store, "water", make_card(), None, pilot=tried)}
    assert costs["labels of the pilot at other levels"] == 7.0
    assert costs["choice of the chain"] == 30.0
    assert not {"labels of the pilot at other levels", "choice of the chain"} & {
        c.stage for c in collect_costs(store, "water", make_card(), None)
    }


def test_the_page_says_what_was_promised_and_which_chains_there_were(store):
    records.write(store, paths.pilot("water", "cafe"), PILOT)
    card = make_card()
    settings = {**card.settings, "ladder": ["hf/6-31g"]}
    card = replace(card, cheap="gfn2-xtb", accurate="ccsd(t)/cc-pvdz", settings=settings)
    page = Path(write_report(store, "water", make_certificate(), card, make_scratch_card(), folder=FOLDER)).read_text()
    text = Page(page).text
    assert "Expected force error of corrected labels: 12.3 meV/Å" in text
    assert "90 hf/6-31g → 15 ccsd(t)/cc-pvdz (chosen)" in text
    assert "34.5" in text
    assert "Expected force error of each chain" in page
    alone = make_card()
    page = Path(write_report(store, "water", make_certificate(), alone, make_scratch_card(), folder=FOLDER)).read_text()
    assert 'id="chain"' not in page


def test_a_chain_through_all_parts_of_a_composite_level_is_drawn():
    """Its accurate labels cost nothing of their own."""
    parts, total = ("hf/6-31g", "mp2/6-31g"), "2*mp2/6-31g - hf/6-31g"
    steps = [("gfn2-xtb", parts[0]), parts, (parts[1], total)]
    chain = Chain((*parts, total), (90, 40, 40), 100.0, 0.012, (0.01, 0.005, 0.004))
    pilot = Pilot(
        frames=12,
        prices={parts[0]: 1.0, parts[1]: 2.0, total: 3.0},
        budget=200.0,
        curves=tuple(ResidualCurve(below, above, 0.1, 0.6, ((4, 0.1), (11, 0.05))) for below, above in steps),
        chains=(chain,),
        chosen=chain,
    )
    assert expected_errors(pilot, "gfn2-xtb", found=0.01).startswith(b"\x89PNG")
