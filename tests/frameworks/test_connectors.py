"""RLlib's own connectors in front of observations with a mask: each that cannot work is named, with what works instead."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from ports import OwnModule
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.env_to_module import FlattenObservations, MeanStdFilter, PrevActionsPrevRewards
from ray.rllib.connectors.env_to_module.frame_stacking import FrameStackingEnvToModule
from ray.rllib.connectors.env_to_module.observation_preprocessor import SingleAgentObservationPreprocessor
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModule

from parity.capture import collect
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.task import Task
from parity.testing.toy_envs import Maze, maze_task


def with_connector(make: Any, **fields: Any) -> Task:
    def configured(config: Any) -> Any:
        return config.env_runners(env_to_module_connector=lambda env, spaces, device: make())

    return maze_task(env=partial(Maze, "obs"), rllib_config=configured, **fields)


def judged(task: Task) -> LadderResult:
    torch.set_num_threads(1)
    capture = collect(task, "rllib", "cpu")
    assert capture is not None
    return run_rungs(capture)


def roots(ladder: LadderResult) -> list[Any]:
    return [each for each in ladder.raw_findings if each.is_error and each.root is None]


class Raises(ConnectorV2):
    def __call__(self, **_: Any) -> Any:
        raise IndexError("the port's own mistake")


@pytest.mark.parametrize(
    ("make", "code", "name"),
    [
        (partial(MeanStdFilter, multi_agent=True), "PAR055", "MeanStdFilter"),
        (MeanStdFilter, "PAR055", "MeanStdFilter"),
        (partial(FlattenObservations, multi_agent=True), "PAR056", "FlattenObservations"),
        (FlattenObservations, "PAR055", "FlattenObservations"),
        (partial(FrameStackingEnvToModule, num_frames=2, multi_agent=True), "PAR055", "FrameStacking"),
        (partial(PrevActionsPrevRewards, multi_agent=True), "PAR056", "PrevActionsPrevRewards"),
        (PrevActionsPrevRewards, "PAR055", "PrevActionsPrevRewards"),
        (Raises, "PAR055", "Raises"),
    ],
)
def test_a_connector_that_cannot_work_with_a_mask_is_the_one_root(make: Any, code: str, name: str) -> None:
    (root,) = roots(judged(with_connector(make)))
    assert root.code == code and root.where == f"connector {name}" and name in root.message
    assert name == "Raises" or root.fix


class ReadsTheVector(OwnModule):
    """Finds the mask in the vector that FlattenObservations makes: entries in the order of their names."""

    def setup(self) -> None:
        self.pi, self.vf = torch.nn.Linear(7, 4), torch.nn.Linear(7, 1)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        mask, rest = batch["obs"][:, :4], batch["obs"][:, 4:]
        return {"action_dist_inputs": torch.where(mask > 0.5, self.pi(rest), -1e9)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(batch["obs"][:, 4:]).squeeze(-1)


def test_a_module_that_reads_its_mask_out_of_the_vector_is_not_accused_of_playing_what_is_illegal() -> None:
    ladder = judged(with_connector(partial(FlattenObservations, multi_agent=True), rllib_module=ReadsTheVector))
    assert {each.code for each in ladder.raw_findings if each.severity == "warning"} >= {"PAR056"}
    assert ladder, {name: f"{each.status}: {each.reason}" for name, each in ladder.rungs.items()}
    assert "forward" in ladder.not_compared  # SB3's network sees no such vector


class KeepsEverything(SingleAgentObservationPreprocessor):
    """Leaves the mask and the rest as they are."""

    def preprocess(self, observation: Any, episode: Any) -> Any:
        return {name: np.array(part) for name, part in observation.items()}


def test_a_connector_that_keeps_the_mask_is_accused_of_nothing() -> None:
    ladder = judged(with_connector(KeepsEverything))
    assert ladder, [each.code for each in ladder.raw_findings if each.is_error]
    assert not {"PAR055", "PAR056"} & {each.code for each in ladder.raw_findings}


class NoInference(RLModule, ValueFunctionAPI, torch.nn.Module):
    """Its base RLModule has none of the three methods; TorchRLModule would."""

    framework = "torch"

    def setup(self) -> None:
        torch.nn.Module.__init__(self)
        self.pi, self.vf = torch.nn.Linear(3, 4), torch.nn.Linear(3, 1)

    _forward = OwnModule._forward
    compute_values = OwnModule.compute_values

    def get_exploration_action_dist_cls(self) -> Any:
        return TorchCategorical

    get_train_action_dist_cls = get_exploration_action_dist_cls

    def get_state(self, *_: Any, **__: Any) -> Any:
        return {name: tensor.numpy(force=True) for name, tensor in self.state_dict().items()}

    def set_state(self, state: Any) -> None:
        self.load_state_dict({name: torch.as_tensor(each) for name, each in state.items()})


class NoneAtAll(NoInference):
    get_exploration_action_dist_cls = get_train_action_dist_cls = RLModule.get_train_action_dist_cls


def test_a_module_without_a_distribution_for_inference_is_named_and_compared_all_the_same() -> None:
    ladder = judged(maze_task(env=partial(Maze, "obs"), rllib_module=NoInference))
    (root,) = roots(ladder)
    assert root.code == "PAR058" and "get_inference_action_dist_cls() raises NotImplementedError" in root.message
    statuses = {name: result.status for name, result in ladder.rungs.items()}
    assert statuses["rollout"] == "pass" and "invalid" not in statuses.values()


def test_of_a_module_without_any_distribution_what_stops_follows() -> None:
    (root,) = roots(judged(maze_task(env=partial(Maze, "obs"), rllib_module=NoneAtAll)))
    assert root.code == "PAR058"
