import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.errors import AsteroidError, InputError, LabelFailed
from asteroid.labelling.apart import LabellerApart
from asteroid.levels import LevelOfTheory

GFN2 = LevelOfTheory.parse("gfn2-xtb")
WATER = Configuration([8, 1, 1], [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])


def child_of(labeller: LabellerApart) -> int:
    pid = labeller._process.pid
    assert pid is not None
    return pid


def test_one_process_answers_all_labels_and_never_loads_torch() -> None:
    import torch  # noqa: F401 (what the child must not inherit)

    labeller = LabellerApart(GFN2)
    first = labeller.compute(WATER)
    pid = child_of(labeller)
    again = labeller.compute(WATER.with_positions(WATER.positions + 1.0))
    assert child_of(labeller) == pid != os.getpid()
    # A translated molecule; tblite converges the energy to about 1e-8 eV.
    assert again.energy == pytest.approx(first.energy, abs=1e-6)
    assert first.forces is not None
    np.testing.assert_allclose(again.forces, first.forces, atol=1e-5)
    assert labeller.compute(WATER, forces=False).forces is None
    maps = Path(f"/proc/{pid}/maps")
    if maps.exists():
        assert "tblite" in maps.read_text()
        assert "torch" not in maps.read_text()


def test_what_goes_wrong_in_the_process_is_raised_here_and_the_process_goes_on() -> None:
    labeller = LabellerApart(GFN2)
    fused = WATER.with_positions(np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [0.96, 0.0, 1e-9]]))
    with pytest.raises(LabelFailed):
        labeller.compute(fused)
    pid = child_of(labeller)
    assert np.isfinite(labeller.compute(WATER).energy)
    assert child_of(labeller) == pid


def test_a_process_that_was_killed_is_named_and_replaced() -> None:
    labeller = LabellerApart(GFN2)
    energy = labeller.compute(WATER).energy
    os.kill(child_of(labeller), signal.SIGKILL)
    with pytest.raises(AsteroidError, match="computes gfn2-xtb was killed by SIGKILL"):
        labeller.compute(WATER)
    assert labeller.compute(WATER).energy == energy


def test_the_process_ends_with_the_labeller() -> None:
    labeller = LabellerApart(GFN2)
    labeller.compute(WATER)
    process = labeller._process
    del labeller
    deadline = time.monotonic() + 20
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.exitcode == 0


def test_a_level_that_the_engine_does_not_compute_is_refused_before_a_process_starts() -> None:
    with pytest.raises(InputError, match="the engine 'xtb' does not compute it"):
        LabellerApart(LevelOfTheory.parse("hf/sto-3g"), "xtb")
