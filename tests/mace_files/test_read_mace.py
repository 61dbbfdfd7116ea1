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
from e3nn import o3

from asteroid.mace_files import TRUST, read_mace
from asteroid.mace_files.inert import NotAModel, read_inert
from asteroid.mace_files.rebuild import rebuild
from asteroid.settings import ModelSettings
from asteroid.store.models import ID_ATTRIBUTE
from asteroid.training.model import build_model, extract_head

from .models import assert_same, file_of, foreign


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


def test_an_index_that_would_take_gigabytes_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "model/data.pkl", pickle.PROTO + b"\x02" + pickle.EMPTY_LIST + pickle.LONG_BINPUT + b"\0\0\0\x7f."
        )
    with pytest.raises(NotAModel, match="remembers an object as number 2130706432"):
        read_inert(buffer.getvalue())


def test_a_damaged_file_is_a_value_error_of_one_line_or_still_a_model() -> None:
    whole = file_of(build(interactions=1, max_l=0))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (place,) = (name for name in files if name.endswith("data.pkl"))
    random = np.random.default_rng(0)
    messages = []
    for position in random.integers(len(files[place]), size=200):
        damaged = bytearray(files[place])
        damaged[position] ^= 1 << random.integers(8)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, bytes(damaged) if name == place else content)
        try:
            rebuild(buffer.getvalue())
        except ValueError as error:
            messages.append(str(error))
    # Much of the file is source code and TorchScript, which is not read.
    assert len(messages) > 20
    assert all(len(message.splitlines()) == 1 for message in messages)


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
