"""Models are read as the pickle would give them, and nothing in a file is run."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mace.modules as mace_modules
import numpy as np
import pytest
import torch
from ase.build import molecule
from e3nn import o3
from mace.calculators import MACECalculator

from asteroid.configuration import Configuration
from asteroid.mace_files import TRUST, read_mace
from asteroid.mace_files.inert import NotAModel, read_inert
from asteroid.mace_files.rebuild import rebuild
from asteroid.settings import ModelSettings
from asteroid.store.models import ID_ATTRIBUTE
from asteroid.training.dataset import default_dtype
from asteroid.training.model import build_model, extract_head
from asteroid.training.predict import predict

ETHANOL = molecule("CH3CH2OH")


def file_of(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def unpickled(data: bytes) -> torch.nn.Module:
    model: torch.nn.Module = torch.load(io.BytesIO(data), weights_only=False)
    return model


def with_mace(model: torch.nn.Module) -> tuple[float, np.ndarray]:
    """Energy and forces by MACE's own code, which reads every constant of the module."""
    dtype = "float64" if next(model.parameters()).dtype == torch.float64 else "float32"
    atoms = ETHANOL.copy()
    atoms.calc = MACECalculator(models=[model], device="cpu", default_dtype=dtype)
    # TorchScript's first run in a process differs from later ones in the last bit, also for one and the same module.
    with torch.jit.optimized_execution(False):
        return atoms.get_potential_energy(), atoms.get_forces()


def assert_same(data: bytes) -> None:
    """The model that is rebuilt is that of the pickle, to the last bit of its predictions."""
    expected, found = unpickled(data), rebuild(data)
    assert list(expected.state_dict()) == list(found.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), found.parameters(), strict=True))
    assert expected.training == found.training
    for one, other in zip(with_mace(expected), with_mace(found), strict=True):
        np.testing.assert_array_equal(one, other)
    configuration = Configuration.from_atoms(ETHANOL)
    (energies, forces), (others, other_forces) = (predict(model, [configuration]) for model in (expected, found))
    np.testing.assert_array_equal(energies, others)
    np.testing.assert_array_equal(forces[0], other_forces[0])


def build(dtype: torch.dtype = torch.float64, scale: Any = 1.3, **sizes: int) -> Any:
    settings = ModelSettings(**{"channels": 4, **sizes})
    return build_model([1, 6, 8], settings, scale=scale, avg_num_neighbors=3.7, seed=1, dtype=dtype)


@pytest.mark.parametrize("correlation", [2, 3])
@pytest.mark.parametrize("max_l", [0, 1, 2])
def test_a_rebuilt_model_predicts_what_the_pickled_one_does_to_the_last_bit(max_l: int, correlation: int) -> None:
    # Trained in single precision, as by default: its constants in double precision are rounded ones.
    model = build(torch.float32, max_l=max_l, correlation=correlation).double()
    with torch.no_grad():
        model.atomic_energies_fn.atomic_energies += torch.tensor([-13.1, -1029.7, -2041.3])
        model.scale_shift.shift += 0.1
    model.eval()
    setattr(model, ID_ATTRIBUTE, "0123456789abcdef")
    data = file_of(model)
    assert getattr(rebuild(data), ID_ATTRIBUTE) == "0123456789abcdef"
    assert_same(data)


@pytest.mark.parametrize(
    "sizes", [{"interactions": 1}, {"interactions": 3, "max_ell": 3}, {"radial": 5, "correlation": 1}]
)
def test_other_sizes_are_rebuilt(sizes: dict[str, int]) -> None:
    assert_same(file_of(build(**sizes)))


def test_one_head_of_several_is_rebuilt() -> None:
    assert_same(file_of(extract_head(build(torch.float32, scale=[1.0, 2.0]).double(), 1)))


@pytest.mark.parametrize(
    "options",
    [
        # As MACE-OFF23 and MACE-MP-0 were made.
        {"dtype": torch.float32},
        {"pair_repulsion": True, "distance_transform": "Agnesi", "first": "RealAgnosticDensityInteractionBlock"},
        {"first": "RealAgnosticInteractionBlock", "radial_MLP": [8, 8], "correlation": [3, 2]},
    ],
)
def test_models_that_asteroid_does_not_make_are_rebuilt(options: dict[str, Any]) -> None:
    assert_same(file_of(foreign(**options)))


def foreign(
    dtype: torch.dtype = torch.float64, first: str = "RealAgnosticResidualInteractionBlock", **options: Any
) -> torch.nn.Module:
    """A model of MACE's constructor."""
    arguments: dict[str, Any] = {"correlation": 2, **options}
    with default_dtype(dtype):
        return mace_modules.ScaleShiftMACE(
            r_max=4.7,
            num_bessel=6,
            num_polynomial_cutoff=6,
            max_ell=2,
            interaction_cls=mace_modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=mace_modules.interaction_classes[first],
            num_interactions=2,
            num_elements=3,
            hidden_irreps=o3.Irreps("4x0e+4x1o"),
            MLP_irreps=o3.Irreps("8x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.array([-13.0, -1029.0, -2041.0]),
            avg_num_neighbors=5.3,
            atomic_numbers=[1, 6, 8],
            atomic_inter_scale=0.7,
            atomic_inter_shift=0.1,
            **arguments,
        )


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def dangerous(mark: Path) -> list[Any]:
    code = f"open({str(mark)!r}, 'w').close()"
    return [
        Call(os.system, f"touch {mark}"),
        Call(eval, code),
        Call(exec, code),
        Call(os.mkdir, str(mark)),
        Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {mark}"))),
    ]


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_that_calls_a_function_is_refused_and_calls_nothing(tmp_path: Path, inside: bool) -> None:
    for call in dangerous(tmp_path / "mark"):
        model = build()
        model.heads = [call]
        with pytest.raises(NotAModel, match=r"^it names [a-z_]+\.[a-z]+, which no model needs$"):
            read_mace(file_of(model if inside else call))
    assert not (tmp_path / "mark").exists()


def test_the_source_code_of_a_models_graph_and_torchs_own_loaders_are_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = f"def forward(self):\n    pass\nopen({str(mark)!r}, 'w').close()\n"
    calls = [
        Call(torch.fx.graph_module.reduce_graph_module, {"_code": source}, ""),
        Call(torch.load, str(mark), None, None, False),
        Call(torch.hub.load, "owner/repository", "model"),
        Call(torch.save, OrderedDict(), str(mark)),
        Call(np.save, str(mark), 1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="it holds a ") as refused:
            read_mace(file_of(call))
        assert len(str(refused.value).splitlines()) == 1
        model = build()
        # Where nothing looks: the model is read, and that is all.
        model.heads_of_another = call
        read_mace(file_of(model))
    assert not mark.exists()
    assert [*tmp_path.iterdir()] == []


def test_what_a_pickle_does_to_the_functions_it_names_ends_with_it() -> None:
    # BUILD, at the end, sets attributes of the object before it: those of the first dictionary in its __dict__, and
    # those of the second one whatever it is.
    slots = b"}X\x0c\x00\x00\x00__defaults__K\x01\x85s"
    stream = b"\x80\x02ctorch._utils\n_rebuild_parameter\n}" + slots + b"\x86b."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", stream)
    read_inert(buffer.getvalue())
    again = file_of(torch.nn.Parameter(torch.ones(2)))
    assert torch.equal(read_inert(again), torch.ones(2))


def test_a_tensor_beyond_its_values_is_refused() -> None:
    data = file_of(torch.arange(4.0))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (place,) = (name for name in files if name.endswith("data.pkl"))
    # BININT1 4, the size, in a tuple of one: as if there were 200.
    assert files[place].count(b"K\x04\x85") == 1
    files[place] = files[place].replace(b"K\x04\x85", b"K\xc8\x85")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(NotAModel, match="out of bounds"):
        read_inert(buffer.getvalue())


@pytest.mark.parametrize("data", [b"", b"not a model", pickle.dumps({}), file_of(torch.ones(1))[:-40]])
def test_what_is_no_file_of_torch_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(NotAModel) as refused:
        read_mace(data)
    assert len(str(refused.value).splitlines()) == 1


class Longer(mace_modules.ScaleShiftMACE):
    """A user's own architecture."""


def test_another_architecture_needs_a_word_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    model.products[0].linear.weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    data = file_of(model)
    with pytest.raises(ValueError, match=rf"products.0.linear.weight .*set {TRUST}=1, which lets it run its own code"):
        read_mace(data)
    model = build()
    model.__class__ = Longer
    with pytest.raises(NotAModel, match=r"it names tests.*Longer, which no model needs"):
        read_mace(file_of(model))
    monkeypatch.setenv(TRUST, "1")
    assert read_mace(data).products[0].linear.weight.shape == (3,)
    assert isinstance(read_mace(file_of(model)), Longer)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: setattr(model, "lammps_mliap", True), "lammps_mliap is True; expected False"),
        (lambda model: setattr(model.interactions[0], "avg_num_neighbors", "many"), "avg_num_neighbors is no number"),
        (lambda model: model.register_buffer("another", torch.ones(1)), "another is only in one"),
        (lambda model: setattr(model.readouts[0].linear, "irreps_in", o3.Irreps("4x0e")), "irreps_in is not 4x0e"),
    ],
)
def test_a_difference_from_what_maces_constructor_makes_is_named(change: Callable[[Any], None], said: str) -> None:
    model = build()
    change(model)
    with pytest.raises(ValueError, match=said):
        rebuild(file_of(model))
