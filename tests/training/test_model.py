from pathlib import Path

import pytest
import torch

from asteroid.errors import InputError
from asteroid.manifest import ModelSettings
from asteroid.training.model import build_model, choose_device, load_foundation, set_reference_energies
from asteroid.training.predict import predict

from .conftest import Labels

SETTINGS = ModelSettings(channels=4, max_l=0, max_ell=1, correlation=2, radial=4, r_max=3.0)


def build(seed: int = 0) -> torch.nn.Module:
    model = build_model([1, 8], SETTINGS, scale=1.0, avg_num_neighbors=2.0, seed=seed, dtype=torch.float64)
    set_reference_energies(model, {1: -13.0, 8: -430.0})
    return model


def test_the_seed_decides_the_weights_and_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = build(0), build(0), build(1)
    assert torch.equal(before, torch.get_rng_state())
    pairs = [list(zip(first.parameters(), m.parameters(), strict=True)) for m in (again, other)]
    assert all(torch.equal(a, b) for a, b in pairs[0])
    assert not all(torch.equal(a, b) for a, b in pairs[1])


def test_other_reference_energies_shift_the_energy_and_nothing_else(water: Labels) -> None:
    model = build()
    configurations = [f.configuration for f in water.accurate[:3]]
    energies, forces = predict(model, configurations)
    set_reference_energies(model, {1: -14.0, 8: -432.0})
    shifted, same = predict(model, configurations)
    # −1 eV for each hydrogen, −2 eV for the oxygen; 1e-10 eV is the rounding of 460 eV.
    assert shifted - energies == pytest.approx([-4.0] * 3, abs=1e-10)
    assert all((a == b).all() for a, b in zip(forces, same, strict=True))


def test_a_foundation_model_is_read_back_with_its_weights(tmp_path: Path) -> None:
    model = build()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    torch.save(model, tmp_path / "foundation.model")
    loaded = load_foundation(tmp_path / "foundation.model", [1], dtype=torch.float32)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in loaded.parameters())


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_a_foundation_model_that_cannot_be_read_is_an_input_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "foundation.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="foundation"):
        load_foundation(path, [1, 8], dtype=torch.float64)


def test_a_foundation_model_that_lacks_an_element_or_is_no_mace_model_is_refused(tmp_path: Path) -> None:
    torch.save(build(), tmp_path / "foundation.model")
    with pytest.raises(InputError, match=r"does not know C, F"):
        load_foundation(tmp_path / "foundation.model", [1, 6, 9], dtype=torch.float64)
    torch.save(torch.nn.Linear(1, 1), tmp_path / "linear.model")
    with pytest.raises(InputError, match="Linear"):
        load_foundation(tmp_path / "linear.model", [1], dtype=torch.float64)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cpu"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"
