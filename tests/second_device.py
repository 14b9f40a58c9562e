"""A second device on a machine that has one: the device `meta`, whose tensors hold numbers of the CPU all the same.

Where its tensors meet those of the CPU an error says so, as on a GPU. In-place operations that change a shape are known
by name (`RESHAPES`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

SECOND = torch.device("meta")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
"""Operations whose indices may be of the CPU."""
COPIES = ("aten::copy_", "aten::_to_copy")
"""Operations that take from one device to the other."""
RESHAPES = ("squeeze_", "unsqueeze_", "t_", "transpose_", "resize_", "as_strided_")


class OnSecond(Tensor):
    """A tensor of the second device."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> OnSecond:
        wrapped = Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=SECOND,
        )
        wrapped.numbers = numbers
        return wrapped

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return apply(operation, args, kwargs or {})


def is_second(device: Any) -> bool:
    """Whether a device, or its name, is the second one."""
    return device is not None and torch.device(device) == SECOND


def numbers_of(value: Any) -> Any:
    """The same value, or its counterpart on the CPU."""
    if isinstance(value, OnSecond):
        return value.numbers
    return torch.device("cpu") if isinstance(value, torch.device) and is_second(value) else value


def apply(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation of PyTorch on tensors of either device.

    Raises:
        RuntimeError: tensors of both meet in it.
    """
    name = operation._schema.name
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, OnSecond)]
    result_there = bool(there)
    if name in INDEXED:
        result_there = isinstance(args[0], OnSecond)
        # Indices of the CPU may be used anywhere; what is written may not come from elsewhere.
        tensors = [args[0], *args[2:3]] if result_there else tensors
    elif name in COPIES:
        result_there = isinstance(args[0], OnSecond)
        tensors = []
    if kwargs.get("device") is not None:
        result_there = is_second(kwargs["device"])
    alone = [
        value for value in tensors if isinstance(value, Tensor) and not isinstance(value, OnSecond) and value.dim()
    ]
    if there and alone:
        raise RuntimeError(f"{name}: tensors of two devices, {[tuple(tensor.shape) for tensor in alone]} on the CPU")
    known = {id(tensor.numbers): tensor for tensor in there}
    result = operation(*tree_map(numbers_of, args), **tree_map(numbers_of, kwargs))
    if name.split("::")[1] in RESHAPES and there:
        with torch._C._DisableTorchDispatch():
            operation(*args, **kwargs)

    def wrapped(value: Any) -> Any:
        if not (result_there and isinstance(value, Tensor)) or isinstance(value, OnSecond):
            return value
        return known[id(value)] if id(value) in known else OnSecond(value)

    return tree_map(wrapped, result)


class Operations(TorchDispatchMode):
    """Everything that makes a tensor on the second device, or uses one."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return apply(operation, args, kwargs or {})


class Calls(TorchFunctionMode):
    """What PyTorch does without an operation: reading numbers out of a tensor and making one of numbers."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and is_second(kwargs.get("device")):
            return function(*args, **kwargs | {"device": "cpu"}).to(SECOND)
        on_second = bool(args) and isinstance(args[0], OnSecond)
        if on_second and function is Tensor.new_tensor:
            numbers = tree_map(lambda value: value.item() if isinstance(value, Tensor) else value, args[1])
            return torch.tensor(numbers, dtype=args[0].dtype).to(SECOND)
        if on_second and function in (Tensor.numpy, Tensor.__array__):
            raise TypeError("a tensor of the second device is no NumPy array: take it to the CPU first")
        if on_second and function is Tensor.cpu:
            return args[0].to("cpu")
        if on_second and function is Tensor.tolist:
            return args[0].numbers.tolist()
        return function(*args, **kwargs)


class Generator(torch.Generator):
    """One of the CPU, whatever device it is for."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        return super().__new__(cls, "cpu")


@contextlib.contextmanager
def second_device() -> Iterator[torch.device]:
    """Context in which the second device is there, in this thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
        with Operations(), Calls():
            yield SECOND
