"""Rung 9: runs whole iterations of SB3 and a port from the same weights, environments and streams of randomness.

Nothing is judged here. Both sides use their own rollout and update, in this process and without a Ray cluster; only where
actions and permutations are drawn from is replaced (`parity.frameworks.sampling`). Other agents of a multi-agent
environment act by their own modules.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from parity.capture.input_order import take_inputs_in_order
from parity.capture.lockstep_common import Length, OutOfStep, Rollout, Streams
from parity.capture.raised import part
from parity.capture.rllib.pairing import pair_parameters
from parity.capture.rllib.side import PortSide
from parity.capture.sb3.lockstep import Sb3Side
from parity.errors import in_words
from parity.frameworks.hyperparameters import schedules_of_rllib
from parity.frameworks.network import network_input
from parity.frameworks.randomness import undisturbed
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env import OBSERVATIONS_KEY, has_choice
from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.exact.learner import ExactPPOLearner
from parity.frameworks.rllib.mapping import modules_of
from parity.results.capture import Context, Lockstep, LockstepSide
from parity.task import Task

PROJECTIONS = 8
OF_PARAMETERS = ("distance", "size", "largest", "sb3_element", "port_element")
COLUMNS = ("actions", "values", "log_probs", "advantages", "targets", "rewards", "ends")


def lockstep(context: Context, task: Task, port: Port, length: Length, seed: int = 0, device: str = "cpu") -> Lockstep:
    """Runs both sides. What raises is ``context.raised["lockstep"]``; the iterations before it are kept.

    Args:
        task: SB3's side.
        port: the port's, of the framework ``rllib-exact``.
        length: how long.
        seed: of initial weights, environments and streams; the port must have been made with the same.
        device: of SB3's side; the port's configuration has its own.
    """
    result = Lockstep(module=port.learning_module, asked=length.iterations, reason=_reason(task, port) or "")
    if result.reason:
        return result
    run: LockstepRun | None = None
    with part(context, "lockstep"):
        try:
            with undisturbed():
                run = LockstepRun(task, port, length, seed, device, context)
                for _ in range(length.iterations):
                    run.iterate()
        except OutOfStep as error:
            result.reason = str(error)
        finally:
            if run is not None:
                run.store(result)
                run.close()
    return result


def _reason(task: Task, port: Port) -> str | None:
    """Why a port cannot be in step with SB3 for a whole iteration, as far as its configuration tells."""
    learner, runner = port.config.learner_class, port.config.env_runner_cls
    if not issubclass(learner, ExactPPOLearner):
        return (
            f"{learner.__name__} normalises advantages over the train batch and does not shuffle the first epoch: whole "
            "iterations part by design (rllib-exact does not)"
        )
    if runner is None or not issubclass(runner, ExactEnvRunner):
        name = "RLlib's env runner" if runner is None else f"the port's own {runner.__name__}"
        return f"{name} samples rollouts of another length and order than SB3's"
    moved = [name for name, rates in schedules_of_rllib(port.config, task.steps).items() if len(set(rates)) > 1]
    if moved:
        return f"a schedule moves {in_words(moved)}, and lockstep has what SB3 begins with; rung 0 compares schedules"
    modules = modules_of(port.config, port.learning_agent)
    if len(modules) > 1:
        return f"policy_mapping_fn lets {in_words(modules)} play agent {port.learning_agent} in turn, SB3's policy plays always"
    return None


class LockstepRun:
    """Both sides, one iteration at a time.

    Args:
        context: of the rungs before: their pairing of parameters is taken. Without it they are paired anew.

    Attributes:
        sb3: `Sb3Side`.
        port: `PortSide`.
        iteration: number of the iteration that comes next.

    Raises:
        OutOfStep: no parameters correspond, or the learning agent sees or does something else than SB3's.
    """

    def __init__(
        self,
        task: Task,
        port: Port,
        length: Length,
        seed: int = 0,
        device: str = "cpu",
        context: Context | None = None,
    ) -> None:
        self._steps: dict[str, list[np.ndarray]] = {"sb3": [], "port": []}
        streams = Streams(seed)
        self.iteration = 0
        self.sb3 = Sb3Side(task, length, streams, lambda: self._project("sb3"), seed, device)
        self.port = PortSide(port, length, streams, lambda: self._project("port"))
        self._space = self.sb3.model.observation_space
        if self.sb3.model.get_vec_normalize_env() is not None:
            raise OutOfStep("SB3's side normalises observations or rewards by running statistics")
        self._pairs = self._correspondence(context or Context(), task)
        self._copy_weights()
        generator = torch.Generator().manual_seed(0)
        self._signs = {
            name: torch.randint(0, 2, (p.numel(), PROJECTIONS), generator=generator).double() * 2 - 1
            for name, p in self.sb3.parameters.items()
        }
        self._agent = str(port.learning_agent)
        self._others = [str(a) for a, (_, s) in port.agents.items() if a != port.learning_agent and has_choice(s)]
        self._kept: dict[str, list[Any]] = {}

    def _correspondence(self, context: Context, task: Task) -> dict[str, str]:
        # Rung 1 has tried what names leave open; a run without it starts from nothing.
        correspondence = context.correspondence or pair_parameters(
            context, task, self.sb3.model.policy, self.port.module, self.port.mask_key
        )
        if correspondence.reason is not None:
            raise OutOfStep(correspondence.reason)
        take_inputs_in_order(self.sb3.model.policy, correspondence.columns)
        return correspondence.pairs

    def _copy_weights(self) -> None:
        theirs = self.port.parameters
        for name, other in self._pairs.items():
            theirs[other].copy_(self.sb3.parameters[name])
        self.port.synchronise()

    def _project(self, side: str) -> None:
        """Sketches all parameters after a step: float64 ``[P, PROJECTIONS]``."""
        parameters = self.sb3.parameters if side == "sb3" else self.port.parameters
        rows = []
        for name, other in self._pairs.items():
            flat = parameters[name if side == "sb3" else other].flatten().double().cpu()
            rows.append((flat @ self._signs[name]).numpy())
        self._steps[side].append(np.stack(rows))

    def iterate(self) -> None:
        """Both sample, both update; what they did is kept."""
        for steps in self._steps.values():
            steps.clear()
        ours = self.sb3.sample(self.iteration)
        theirs = self.port.iterate(self.iteration, ours.rewards.shape)
        self.sb3.update(self.iteration)
        self._keep_rollouts(ours, theirs)
        self._keep_parameters()
        self.iteration += 1

    def _keep_rollouts(self, ours: Rollout, theirs: Rollout) -> None:
        for name in COLUMNS:
            self._keep(f"sb3/{name}", getattr(ours, name))
            self._keep(f"port/{name}", getattr(theirs, name))
        self._keep("observations", _difference(ours.observations, theirs.observations, self._space, ours.rewards.shape))
        if ours.masks.shape != theirs.masks.shape:
            raise OutOfStep(f"the port's mask has {theirs.masks.shape[-1]} entries, SB3's {ours.masks.shape[-1]}")
        self._keep("masks", (ours.masks != theirs.masks).sum(axis=-1).astype(np.float64))
        self._keep("margin", self.sb3.margins.copy())

    def _keep_parameters(self) -> None:
        ours, theirs = self._steps["sb3"], self._steps["port"]
        together = [np.sqrt(np.mean((a - b) ** 2, axis=-1)) for a, b in zip(ours, theirs, strict=False)]
        self._keep("minibatch_distance", np.stack(together) if together else np.zeros((0, len(self._pairs))))
        self._keep("minibatch_count", np.array([len(ours), len(theirs)]))
        of_sb3, of_port, rows = self.sb3.parameters, self.port.parameters, []
        for name, other in self._pairs.items():
            a, b = (parameter.flatten().double().cpu() for parameter in (of_sb3[name], of_port[other]))
            worst = int((a - b).abs().nan_to_num(nan=torch.inf).argmax())
            rows.append(torch.stack([(a - b).norm(), a.norm(), (a - b).abs()[worst], a[worst], b[worst]]))
        for name, column in zip(OF_PARAMETERS, torch.stack(rows, dim=1).numpy(), strict=True):
            self._keep(name, column)

    def _keep(self, name: str, value: np.ndarray) -> None:
        self._kept.setdefault(name, []).append(np.array(value))

    def store(self, result: Lockstep) -> None:
        """Writes the whole iterations so far into ``result``."""
        result.largest_log_prob = self.sb3.largest_log_prob
        result.iterations, result.agent, result.others = self.iteration, self._agent, self._others
        result.parameters = list(self._pairs.values())
        result.sb3, result.port = LockstepSide(), LockstepSide()
        for name, iterations in self._kept.items():
            side, _, column = name.rpartition("/")
            setattr(getattr(result, side) if side else result, column, _stack(iterations[: self.iteration]))

    def close(self) -> None:
        self.sb3.close()
        self.port.close()


def _difference(ours: Any, theirs: dict[str, np.ndarray], space: spaces.Space, shape: tuple[int, ...]) -> np.ndarray:
    """Largest difference of each observation as a network gets it: float64 ``[T, E]``.

    Raises:
        OutOfStep: the port's observation lacks something that SB3's has.
    """
    parts = space.spaces if isinstance(space, spaces.Dict) else {OBSERVATIONS_KEY: space}
    prefix = f"{OBSERVATIONS_KEY}/"
    if not all(key in theirs for key in parts) and all(name.startswith(prefix) for name in theirs):
        # RLlib's own example of masking wraps a whole observation.
        theirs = {name.removeprefix(prefix): column for name, column in theirs.items()}
    largest = np.zeros(shape)
    for key, entry in parts.items():
        if key not in theirs:
            raise OutOfStep(f'the port\'s observation has no entry "{key}"')
        a = ours[key] if isinstance(space, spaces.Dict) else ours
        sides = [
            network_input(_rows(side, shape), entry).double().reshape(*shape, -1).numpy() for side in (a, theirs[key])
        ]
        if sides[0].shape != sides[1].shape:
            raise OutOfStep(f'entry "{key}" of the observation has other shapes on the two sides')
        largest = np.maximum(largest, np.abs(sides[0] - sides[1]).max(axis=-1, initial=0.0))
    return largest


def _rows(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.ascontiguousarray(values.reshape(int(np.prod(shape)), *values.shape[2:]))


def _stack(iterations: list[np.ndarray]) -> np.ndarray:
    """``[K, …]``; shorter ones are filled up with NaN."""
    if len({part.shape for part in iterations}) <= 1:
        return np.stack(iterations)
    longest = max(len(part) for part in iterations)
    filled = [np.pad(p, [(0, longest - len(p))] + [(0, 0)] * (p.ndim - 1), constant_values=np.nan) for p in iterations]
    return np.stack(filled)
