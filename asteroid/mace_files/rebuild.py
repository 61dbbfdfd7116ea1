"""The MACE module of a file, built by MACE's own constructor from what :mod:`asteroid.mace_files.inert` read.

Sizes are read from the shapes and attributes in the file; then weights and constants are copied. Whatever differs
afterwards (a class, a shape, a number of another architecture) is an error and not another model.
"""

import copy
import functools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

# Before e3nn: it allows e3nn to load its constants.
import mace.modules as mace_modules
import numpy as np
import torch
from e3nn import o3
from mace.modules import ScaleShiftMACE
from mace.tools.torch_tools import default_dtype

from asteroid.errors import first_line
from asteroid.mace_files.inert import Inert, NotAModel, read_inert
from asteroid.store.models import ID_ATTRIBUTE

_RADIAL: Final = {"BesselBasis": "bessel", "GaussianBasis": "gaussian", "ChebychevBasis": "chebyshev"}
_TRANSFORMS: Final = {"AgnesiTransform": "Agnesi", "SoftTransform": "Soft"}
_FLAGS: Final = (
    "apply_cutoff",
    "use_reduced_cg",
    "use_so3",
    "use_agnostic_product",
    "use_last_readout_only",
    "use_edge_irreps_first",
)
"""Options of the constructor that are attributes of the module of the same name; older files lack some."""


def rebuild(data: bytes) -> ScaleShiftMACE:
    """The module that ``torch.save`` wrote, with the precision of its weights.

    Raises:
        NotAModel: when the file is damaged or names what no model needs.
        ValueError: when it does not hold a model that MACE's constructor makes.
    """
    read = read_inert(data)
    if _class_of(read) != "ScaleShiftMACE":
        raise ValueError(f"it holds a {_class_of(read)}; expected a ScaleShiftMACE model")
    try:
        return _rebuilt(read)
    except NotAModel:
        raise
    except Exception as error:  # of MACE's constructor, for sizes that do not fit together, and of what the file lacks
        reason = first_line(error) if isinstance(error, ValueError) else f"{type(error).__name__} {first_line(error)}"
        raise ValueError(reason) from error


def _rebuilt(read: Inert) -> ScaleShiftMACE:
    tensors = dict(_tensors(read))
    model = copy.deepcopy(_built(tuple(_options(read).items()), tensors["node_embedding.linear.weight"].dtype))
    _copy_tensors(tensors, model)
    _copy_attributes(read, model, "")
    if ID_ATTRIBUTE in read.state:
        setattr(model, ID_ATTRIBUTE, read.state[ID_ATTRIBUTE])
    return model


@functools.lru_cache(maxsize=8)
def _built(options: tuple[tuple[str, Any], ...], dtype: torch.dtype) -> ScaleShiftMACE:
    """The model that :func:`rebuild` copies: e3nn takes two seconds to compile a model, a copy takes 20 ms."""
    arguments = dict(options)
    for name in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        arguments[name] = None if arguments[name] is None else o3.Irreps(arguments[name])
    for name in ("interaction_cls", "interaction_cls_first"):
        arguments[name] = mace_modules.interaction_classes[arguments[name]]
    for name in ("heads", "correlation", "atomic_numbers", "radial_MLP"):
        arguments[name] = None if arguments[name] is None else list(arguments[name])
    arguments["gate"] = mace_modules.gate_dict[arguments["gate"]]
    energies, scale = arguments.pop("energies_shape"), arguments.pop("scale_shape")
    with default_dtype(dtype), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # e3nn 0.4.4 uses annotations that newer versions of torch deprecate.
        warnings.simplefilter("ignore")
        return ScaleShiftMACE(
            **arguments,
            # The file has them, too.
            avg_num_neighbors=1.0,
            atomic_energies=np.zeros(energies),
            atomic_inter_scale=np.ones(scale),
            atomic_inter_shift=np.zeros(scale),
        )


def _options(read: Inert) -> dict[str, Any]:
    """Options of MACE's constructor, all hashable; each of the type it must have, as e3nn writes code with them."""
    state, buffers = read.state, read.state["_buffers"]
    interactions, products = _all(read, "interactions"), _all(read, "products")
    radial, readout = _at(read, "radial_embedding"), _all(read, "readouts")[-1]
    heads = state.get("heads")
    options: dict[str, Any] = {
        "r_max": float(buffers["r_max"]),
        "num_bessel": int(radial.state["out_dim"]),
        "num_polynomial_cutoff": int(_at(radial, "cutoff_fn").state["_buffers"]["p"]),
        "max_ell": max(degree for _, (degree, _) in _irreps(_at(read, "spherical_harmonics").state["irreps_out"])),
        "interaction_cls": _class_of(interactions[-1]),
        "interaction_cls_first": _class_of(interactions[0]),
        "num_interactions": len(interactions),
        "num_elements": len(buffers["atomic_numbers"]),
        "atomic_numbers": tuple(buffers["atomic_numbers"].tolist()),
        "hidden_irreps": _irreps(_at(products[0], "linear").state["irreps_out"]),
        "edge_irreps": None if state.get("edge_irreps") is None else _irreps(state["edge_irreps"]),
        "MLP_irreps": ((16, (0, 1)),),
        "gate": "silu",
        "correlation": tuple(
            int(_at(product, "symmetric_contractions.contractions.0").state["correlation"]) for product in products
        ),
        "radial_type": _RADIAL[_class_of(_at(radial, "bessel_fn"))],
        "radial_MLP": tuple(map(int, _at(interactions[0], "conv_tp_weights").state["hs"][1:-1])),
        "pair_repulsion": "pair_repulsion_fn" in state["_modules"],
        "distance_transform": "None",
        "heads": None if heads is None else tuple(map(str, heads)),
        "energies_shape": tuple(_at(read, "atomic_energies_fn").state["_buffers"]["atomic_energies"].shape),
        "scale_shape": tuple(_at(read, "scale_shift").state["_buffers"]["scale"].shape),
    }
    if "distance_transform" in radial.state["_modules"]:
        options["distance_transform"] = _TRANSFORMS[_class_of(_at(radial, "distance_transform"))]
    if _class_of(readout) == "NonLinearReadoutBlock":
        # MACE multiplies it by the number of heads.
        count = sum(multiplicity for multiplicity, _ in _irreps(readout.state["hidden_irreps"]))
        options["MLP_irreps"] = ((count // len(heads or [""]), (0, 1)),)
        options["gate"] = _at(readout, "non_linearity.acts.0").state["f"].name.rsplit(".")[-1]
    return options | {flag: bool(state[flag]) for flag in _FLAGS if flag in state}


def _copy_tensors(tensors: Mapping[str, torch.Tensor], model: ScaleShiftMACE) -> None:
    expected = model.state_dict()
    if found := sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"its architecture is another than MACE's constructor makes: {found[0]} is only in one")
    for name, tensor in tensors.items():
        shapes = [(tuple(one.shape), one.dtype) for one in (tensor, expected[name])]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{name} is {shapes[0]}; expected {shapes[1]}")
    model.load_state_dict(tensors)


def _copy_attributes(read: Inert, module: torch.nn.Module, place: str) -> None:
    """Copy numbers with a fraction, such as ``avg_num_neighbors``, and compare what else is plain."""
    if _class_of(read) == "reduce_graph_module":
        # Code, made anew by e3nn.
        return
    if _class_of(read) != type(module).__name__:
        raise ValueError(f"{place or 'the model'} is a {_class_of(read)}; expected a {type(module).__name__}")
    module.training = bool(read.state["training"])
    for name, value in read.state.items():
        own = vars(module).get(name)
        if isinstance(own, float):
            if not isinstance(value, float | torch.Tensor):
                raise ValueError(f"{place}{name} is no number")
            setattr(module, name, value)
        elif isinstance(own, o3.Irreps) and isinstance(value, Inert):
            if o3.Irreps(_irreps(value)) != own:
                raise ValueError(f"{place}{name} is not {own}")
        elif isinstance(own, bool | int | str) and name != "training" and value != own:
            raise ValueError(f"{place}{name} is {value}; expected {own}")
    for name, child in read.state["_modules"].items():
        if isinstance(child, Inert):
            _copy_attributes(child, module.get_submodule(name), f"{place}{name}.")


def _tensors(read: Inert, place: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers by name, as in the module's own ``state_dict``."""
    state = read.arguments[0] if _class_of(read) == "reduce_graph_module" else read.state
    passing = state.get("_non_persistent_buffers_set", ())
    for name, tensor in {**state["_parameters"], **state["_buffers"]}.items():
        if tensor is not None and name not in passing:
            yield f"{place}{name}", tensor
    for name, child in state["_modules"].items():
        if child is not None:
            yield from _tensors(child, f"{place}{name}.")
    # Functions that e3nn has compiled, saved by torch.jit: Wigner 3j symbols are taken from them, and no code.
    for name, script in state.get("__codegen__", {}).items():
        for constant, tensor in read_inert(script).state.items():
            if isinstance(tensor, torch.Tensor):
                yield f"{place}{name}.{constant}", tensor


def _class_of(read: Any) -> str:
    return read.name.rsplit(".")[-1] if isinstance(read, Inert) else type(read).__name__


def _at(read: Inert, path: str) -> Inert:
    for name in path.split("."):
        read = read.state["_modules"][name]
    return read


def _all(read: Inert, name: str) -> list[Inert]:
    return list(_at(read, name).state["_modules"].values())


def _irreps(read: Inert) -> tuple[tuple[int, tuple[int, int]], ...]:
    """(multiplicity, (degree, parity)) of each; e3nn's classes are tuples."""
    terms = [term.arguments[0] for term in read.arguments[0]]
    found = [(multiplicity, *irrep.arguments[0]) for multiplicity, irrep in terms]
    return tuple((int(multiplicity), (int(degree), int(parity))) for multiplicity, degree, parity in found)
