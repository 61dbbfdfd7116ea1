from pathlib import Path

import numpy as np
import pytest
import torch

from asteroid.store import Store
from asteroid.training.dataset import (
    LabelledFrame,
    batches,
    default_dtype,
    fit_reference_energies,
    labelled_frames,
    shuffled,
    to_graph,
)

from .conftest import ACCURATE, CHEAP, Labels, fill


def residuals(frames: list[LabelledFrame]) -> np.ndarray:
    references = fit_reference_energies(frames)
    return np.array([f.energy - references.of(f.configuration) for f in frames])


def test_reference_energies_absorb_a_constant_offset_between_levels(water: Labels) -> None:
    shifted = [LabelledFrame(f.configuration, f.energy + 1234.5, f.forces) for f in water.accurate]
    # 1e-9 eV: rounding of numbers of a thousand eV.
    np.testing.assert_allclose(residuals(shifted), residuals(water.accurate), atol=1e-9)
    assert abs(residuals(water.accurate).mean()) < 1e-9


def test_reference_energies_of_several_compositions_are_recovered(water: Labels) -> None:
    configuration = water.accurate[0].configuration
    oxygen, hydrogen = -430.0, -13.5
    hydroxide = type(configuration)([8, 1], [[0, 0, 0], [0, 0, 0.97]], charge=-1)
    frames = [LabelledFrame(configuration, oxygen + 2 * hydrogen), LabelledFrame(hydroxide, oxygen + hydrogen)]
    references = fit_reference_energies(frames)
    assert references.elements[8] + references.shift == pytest.approx(oxygen, abs=1e-9)
    assert references.elements[1] + references.shift == pytest.approx(hydrogen, abs=1e-9)


def test_reference_energies_leave_alone_what_a_baseline_already_predicts(water: Labels) -> None:
    predicted = np.array([f.energy for f in water.accurate])
    references = fit_reference_energies(water.accurate, predicted)
    assert max(map(abs, [*references.elements.values(), references.shift])) < 1e-12


def test_labelled_frames_keep_the_order_of_the_ids_and_leave_out_what_has_no_label(
    water: Labels, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    ids = fill(store, water)
    found = labelled_frames(store, "water", ACCURATE, [ids[5], "no such frame", ids[2]])
    assert [f.frame_id for f in found] == [ids[5], ids[2]]
    assert found[0].energy == water.accurate[5].energy
    np.testing.assert_array_equal(found[1].forces, water.accurate[2].forces)
    assert [f.frame_id for f in labelled_frames(store, "water", CHEAP)] == ids


def test_graphs_hold_every_pair_within_the_cutoff_in_both_directions(water: Labels) -> None:
    configuration = water.accurate[0].configuration
    graph = to_graph(configuration, numbers=[1, 8], r_max=1.2, dtype=torch.float64)
    distances = np.linalg.norm(configuration.positions[:, None] - configuration.positions[None], axis=-1)
    expected = {(i, j) for i, j in np.argwhere(distances < 1.2).tolist() if i != j}
    assert set(map(tuple, graph.edge_index.T.tolist())) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_graphs_come_in_the_precision_asked_for_and_leave_the_default_alone(water: Labels, dtype: torch.dtype) -> None:
    before = torch.get_default_dtype()
    graph = to_graph(water.accurate[0].configuration, numbers=[1, 8], r_max=3.0, dtype=dtype)
    assert graph.positions.dtype == dtype
    assert torch.get_default_dtype() == before
    with pytest.raises(KeyError), default_dtype(torch.float64):
        raise KeyError
    assert torch.get_default_dtype() == before


def test_batches_hold_every_graph_once_and_in_order(water: Labels) -> None:
    graphs = [
        to_graph(f.configuration, float(i), numbers=[1, 8], r_max=3.0, dtype=torch.float64)
        for i, f in enumerate(water.accurate[:7])
    ]
    made = batches(graphs, 3)
    assert [b.num_graphs for b in made] == [3, 3, 1]
    assert torch.cat([b.energy for b in made]).tolist() == list(range(7))


def test_an_epoch_shows_every_frame_once_and_the_next_one_in_another_order() -> None:
    epochs = [np.concatenate([shuffled(12, 4, step, seed=3) for step in range(e, e + 3)]) for e in (0, 3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0].tolist() != epochs[1].tolist()
    assert len(shuffled(3, 20, 0, seed=0)) == 3
