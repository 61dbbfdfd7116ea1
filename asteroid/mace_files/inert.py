"""Reads what ``torch.save`` wrote without running any of it: classes and functions become :class:`Inert` objects.

A pickle names functions and has them called. That of a MACE model calls
``torch.fx.graph_module.reduce_graph_module``, which executes source code from the file, so a list of allowed classes
protects nobody. Here nothing is imported or called by name: tensors, ordered dictionaries, sets and bytes are made by
functions of this module, and everything else only keeps its arguments and state.
:mod:`asteroid.mace_files.rebuild` builds the model from them.
"""

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from asteroid.errors import first_line

_DTYPES: Final = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_PACKAGES: Final = frozenset({"__torch__", "e3nn", "mace", "numpy", "opt_einsum_fx", "torch"})
"""Whose names occur in models, and become :class:`Inert`; any other name is refused."""


class NotAModel(ValueError):
    """The file is damaged or no file of torch, or names what no model needs, such as ``os.system``."""


class Inert:
    """An object of the file that was not made: only what it would have been made from.

    Args:
        arguments: of its constructor or function.
    """

    name = ""
    """Module and name of its class or function, dotted."""

    arguments: tuple[Any, ...]
    state: Any

    # Not in __init__, which pickle does not call for most objects.
    def __new__(cls, *arguments: Any) -> "Inert":
        made = super().__new__(cls)
        made.arguments, made.state = arguments, None
        return made

    def __init__(self, *arguments: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_inert(data: bytes) -> Any:
    """The content of a file of ``torch.save`` or ``torch.jit.save``, with every object of a class as :class:`Inert`.

    Raises:
        NotAModel: when it is damaged or names what no model needs.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Reader(archive).load()
    except Exception as error:  # broken archives and pickles raise anything
        raise NotAModel(first_line(error)) from error


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        # All files are in one folder, whose name is that of the file when it was written.
        self._folder = archive.namelist()[0].split("/")[0]
        pickled = archive.read(f"{self._folder}/data.pkl")
        _check_memo(pickled)
        super().__init__(io.BytesIO(pickled))
        self._classes: dict[str, type[Inert]] = {}
        self._storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (made := _MADE.get((module, name))) is not None:
            # A new object each time, because a pickle can set attributes of what it names.
            return lambda *arguments: made(*arguments)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        full = f"{module}.{name}"
        if module.split(".")[0] not in _PACKAGES:
            raise ValueError(f"it names {full}, which no model needs")
        return self._classes.setdefault(full, type("Inert", (Inert,), {"name": full}))

    def persistent_load(self, key: Any) -> torch.Tensor:
        """The values of a storage, as a tensor of one dimension."""
        _, dtype, name, *_ = key
        if name not in self._storages:
            # Writable, as torch wants it.
            values = bytearray(self._archive.read(f"{self._folder}/data/{name}"))
            self._storages[name] = torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)
        return self._storages[name]


def _check_memo(pickled: bytes) -> None:
    """Refuse indices of the memo that no pickle of this length needs.

    Python allocates 16 bytes for each index up to the largest: 32 GB in a file with one flipped bit.
    """
    for opcode, index, _ in pickletools.genops(pickled):
        if opcode.name in _MEMO and isinstance(index, int) and index > len(pickled):
            raise ValueError(f"its pickle remembers an object as number {index}")


_MEMO: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


def _tensor(storage: torch.Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> torch.Tensor:
    # Torch checks that it is within the storage.
    return storage.as_strided(size, stride, offset)


def _parameter(values: torch.Tensor, *_: Any) -> torch.Tensor:
    return values


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes are written as latin1 and not as {encoding}")
    return text.encode(encoding)


_MADE: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("_codecs", "encode"): _encode,
    # As Python 2 called it, and with it the second protocol of pickle.
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}
