"""Weights that a training ended with, read from its checkpoint without executing anything that the file says.

RLlib writes a module's state with pickle, Stable-Baselines3 with ``torch.save``. Both are read here by readers that know arrays
and tensors and refuse all else; whoever trusts a file may have it read whole.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parity.errors import CannotStart, one_line

Weights = Mapping[str, torch.Tensor]
STATE_FILE = "module_state.pkl"
# Where RLlib's folders have the learner's modules: an Algorithm's, a learner group's, a learner's, and the modules' own.
_PLACES = ("learner_group/learner/rl_module", "learner/rl_module", "rl_module", ".")
# What a dict of arrays is made of, and nothing that does anything else.
_HARMLESS = {
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a ladder starts from: SB3's weights, or those of the port's modules by id; either may be empty."""

    sb3: Weights = dataclasses.field(default_factory=dict)
    port: Mapping[str, Weights] = dataclasses.field(default_factory=dict)

    def into_sb3(self, policy: torch.nn.Module) -> None:
        if self.sb3:
            policy.load_state_dict(_fitting(self.sb3, policy, "--sb3-checkpoint", "SB3's policy"))

    def of_port(self, learning_module: str, modules: Mapping[str, torch.nn.Module]) -> dict[str, Weights]:
        """The weights of those modules that the port has, its learning module among them.

        Raises:
            CannotStart: that is not in the checkpoint, or one does not fit.
        """
        if not self.port:
            return {}
        if learning_module not in self.port:
            raise CannotStart(
                f"--checkpoint: it has the modules {', '.join(self.port)}, and not {learning_module}, which the task trains."
            )
        return {
            module_id: _fitting(weights, modules[module_id], "--checkpoint", f"module {module_id}")
            for module_id, weights in self.port.items()
            if module_id in modules
        }


def _fitting(weights: Weights, module: torch.nn.Module, option: str, what: str) -> Weights:
    shapes = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    for name in [*shapes, *weights]:
        there = tuple(weights[name].shape) if name in weights else None
        if shapes.get(name) != there:
            raise CannotStart(
                f"{option}: {name} is {_shape(there)} in the checkpoint and {_shape(shapes.get(name))} in {what} of this task; "
                "give the checkpoint of this very network."
            )
    return weights


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


class _Refused(pickle.UnpicklingError):
    pass


class _ArraysAlone(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise _Refused(f"it holds a {module}.{name}")
        return super().find_class(module, name)


def rllib_weights(folder: Path, trusted: bool) -> dict[str, Weights]:
    """Module id -> its parameters and buffers by name.

    Args:
        folder: of ``Algorithm.save_to_path``, of Tune's checkpoint, or of the learner or modules in one.
        trusted: read with pickle, which executes what a file says.

    Raises:
        CannotStart: there are no modules in it, or one cannot be read.
    """
    option = f"--checkpoint {folder}"
    for place in _PLACES:
        files = sorted((folder / place).glob(f"*/{STATE_FILE}"))
        if files:
            return {file.parent.name: _module_state(file, option, trusted) for file in files}
    if folder.is_dir() and next(folder.rglob("module_state.msgpack"), None):
        raise CannotStart(f"{option}: its modules are stored with msgpack; save it with pickle, RLlib's default.")
    raise CannotStart(
        f"{option}: no {STATE_FILE} of a module in it; give the folder that Algorithm.save_to_path or Tune wrote."
    )


def _module_state(file: Path, option: str, trusted: bool) -> Weights:
    data = file.read_bytes()
    try:
        state = pickle.loads(data) if trusted else _ArraysAlone(io.BytesIO(data)).load()
    except _Refused as refusal:
        raise CannotStart(
            f"{option}: {file.parent.name}/{file.name} is more than arrays ({refusal}), and reading it would execute what the "
            "file says; if it is your own, add --trust-checkpoint."
        ) from refusal
    except Exception as error:
        raise CannotStart(f"{option}: {file.parent.name}/{file.name} cannot be read ({one_line(error)}).") from error
    # RLlib stores a tensor without axes as a number.
    kinds = (np.ndarray, np.generic, torch.Tensor, bool, int, float)
    return {name: torch.as_tensor(np.array(each)) for name, each in state.items() if isinstance(each, kinds)}


def sb3_weights(file: Path) -> Weights:
    """The policy's parameters and buffers by name, of a model that Stable-Baselines3 saved; the rest of the zip stays unread.

    Raises:
        CannotStart: it is no such file.
    """
    option = f"--sb3-checkpoint {file}"
    try:
        with zipfile.ZipFile(file) as zipped:
            data = zipped.read("policy.pth")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CannotStart(f"{option}: no model that MaskablePPO.save wrote ({one_line(error)}).") from error
    except pickle.UnpicklingError as error:
        raise CannotStart(f"{option}: policy.pth is more than tensors; save the model anew.") from error
