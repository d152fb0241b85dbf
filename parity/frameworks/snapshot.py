"""A session in mid-training as bytes: training goes on from them as if nothing had happened, to the last bit on a CPU.

Everything in the process that runs counts: weights and optimisers, environments in mid-episode, generators. So the session is
pickled whole. What its process shares with others, env runners or learners elsewhere, is not in it.
"""

from __future__ import annotations

import io
import pickle
import random
import threading
from collections.abc import Callable, Mapping
from types import GeneratorType
from typing import Any

import cloudpickle
import numpy as np
import torch

from parity.errors import one_line

# How an object is pickled: what `object.__reduce__` returns.
Reducer = Callable[[Any], tuple[Any, ...]]
_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())


class CannotBeKept(Exception):
    """Something in a session lives in another process, or is no thing that can be stored; the message says what."""


def pack(what: Any, reducers: Mapping[type, Reducer]) -> bytes:
    """``what``, with the state of the global generators.

    Args:
        reducers: how objects of these classes, and of those derived from them, are pickled.

    Raises:
        CannotBeKept: it cannot be pickled.
    """
    file = io.BytesIO()
    state = (random.getstate(), np.random.get_state(), torch.get_rng_state(), _cuda_state())
    try:
        _Pickler(file, reducers).dump((what, state))
    except Exception as error:  # whatever a user's object raises when it is pickled
        raise CannotBeKept(f"{type(error).__name__}: {one_line(error)}") from error
    return file.getvalue()


def unpack(data: bytes) -> Any:
    """What `pack` was given; the global generators go on from where they were.

    Raises:
        CannotBeKept: it cannot be read back.
    """
    try:
        what, (python, numpy, cpu, cuda) = pickle.loads(data)
    except Exception as error:
        raise CannotBeKept(f"{type(error).__name__}: {one_line(error)}") from error
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
    return what


def as_it_is(thing: Any) -> tuple[Any, ...]:
    """A reducer: all attributes, whatever the class would leave out when it is pickled."""
    return with_attributes(thing, vars(thing))


def with_attributes(thing: Any, attributes: dict[str, Any]) -> tuple[Any, ...]:
    """A reducer's result: an object of the same class with these attributes and no others."""
    return _new, (type(thing),), attributes, None, None, _set_attributes


def _new(cls: Any) -> Any:
    return cls.__new__(cls)


def _set_attributes(thing: Any, attributes: dict[str, Any]) -> None:
    vars(thing).update(attributes)


def _cuda_state() -> Any:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None


class _Pickler(cloudpickle.Pickler):
    def __init__(self, file: io.BytesIO, reducers: Mapping[type, Reducer]) -> None:
        super().__init__(file)
        self._reducers = dict(reducers)
        self._storages: dict[tuple[int, torch.dtype], torch.TypedStorage] = {}

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, _LOCK):
            return threading.Lock, ()
        if isinstance(thing, _RLOCK):
            return threading.RLock, ()
        if (
            isinstance(thing, GeneratorType) and thing.gi_frame is None
        ):  # spent, as gymnasium's vector environments keep one
            return iter, ((),)
        if type(thing) is torch.Tensor:
            return self._tensor(thing)
        if type(thing) is np.ndarray and type(thing.base) is np.ndarray and not thing.dtype.hasobject:
            return _view_of_array(thing)
        for cls, reducer in self._reducers.items():
            if isinstance(thing, cls):
                return reducer(thing)
        return super().reducer_override(thing)

    def _tensor(self, tensor: torch.Tensor) -> Any:
        """Tensors that are views of the same memory stay so: pickle by itself would copy it for each."""
        function, arguments, *rest = tensor.__reduce_ex__(pickle.HIGHEST_PROTOCOL)  # type: ignore[misc]
        if arguments and isinstance(storage := arguments[0], torch.TypedStorage):
            arguments = (self._storages.setdefault((storage._cdata, storage.dtype), storage), *arguments[1:])
        return function, arguments, *rest


def _view_of_array(view: np.ndarray) -> Any:
    whole: Any = view.base
    offset = view.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    if whole.dtype.hasobject or not whole.flags.c_contiguous:
        return NotImplemented
    return np.ndarray, (view.shape, view.dtype, whole, offset, view.strides)
