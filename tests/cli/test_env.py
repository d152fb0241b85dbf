"""`parity run --env ID`: an environment of gymnasium without a task file, and `parity init --from` that writes the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from parity_envs import by_id
from parity_envs.cnn import CnnNetwork
from parity_envs.mlp import MlpNetwork

from parity.cli import call
from parity.errors import CannotStart
from parity.study.options import RunOptions
from parity.task import registry

Parity = Callable[..., object]
PACKAGE = """
import gymnasium
from gymnasium import spaces

class Room(gymnasium.Env):
    observation_space = spaces.Box(0, 255, (8, 8, 3), "uint8")
    action_space = spaces.Discrete(2)

    def __init__(self, size=3):
        self.size = size

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

gymnasium.register("Room-v0", Room)
"""


def task_of(text: str) -> registry.Task:
    return registry.load(registry.resolve(text))


def test_a_run_of_an_id_is_a_run_of_the_file_that_init_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = RunOptions(env="Taxi-v3", env_kwargs=["is_rainy:True"]).resolved()
    (written,) = options.task
    assert call(["init", "mine", "--from", "Taxi-v3", "--env-kwargs", "is_rainy:True"]) == 0
    (kept,) = Path("mine").glob("*.py")
    assert Path(written).read_text() == kept.read_text() and Path(written).is_relative_to("results")
    task = task_of(written)
    assert task.id == "taxi-v3" and task.network is MlpNetwork
    env = task.env()
    assert env.unwrapped.spec.kwargs["is_rainy"] is True  # type: ignore[union-attr]
    # It shows a mask of its own, which is kept.
    assert "action_mask" in env.reset(seed=0)[1] and not isinstance(env, by_id.EverythingLegal)
    assert RunOptions(env="Taxi-v3", env_kwargs=["is_rainy:True"]).resolved().task == [written], "and once more"


def test_an_id_of_a_module_of_ones_own_with_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rooms_of_mine.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    (written,) = RunOptions(env="rooms_of_mine:Room-v0", network="cnn", env_kwargs=["size=5"]).resolved().task
    task = task_of(written)
    assert task.network is CnnNetwork
    assert task.env().get_wrapper_attr("size") == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--env", "Nope-v0"], "--env Nope-v0: NameNotFound"),
        (["--env", "no_such_module:Nope-v0"], "--env no_such_module:Nope-v0: ModuleNotFoundError"),
        (["--env", "Taxi-v3", "--env-kwargs", "rain"], "--env-kwargs rain: write name:value."),
        (["--env", "Taxi-v3", "--task", "tiles"], "--env Taxi-v3 is a task by itself: leave out --task."),
        (["--env", "Taxi-v3", "--network", "gru"], "--network"),
        (["--network", "cnn"], "--network belongs to --env"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(parity: Parity, arguments: list[str], said: str) -> None:
    assert said in parity("run", *arguments).sentence  # type: ignore[attr-defined]


def test_a_written_file_that_was_changed_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (written,) = RunOptions(env="CartPole-v1").resolved().task
    Path(written).write_text(Path(written).read_text() + "# mine\n")
    with pytest.raises(CannotStart, match="was changed since it was written"):
        RunOptions(env="CartPole-v1").resolved()


def test_without_a_mask_everything_is_legal_and_one_in_a_place_of_its_own_is_asked_for() -> None:
    env = by_id.make("CartPole-v1")
    assert env.get_wrapper_attr("action_masks")().tolist() == [True, True]

    class Hidden(gymnasium.Env):
        observation_space, action_space = spaces.Discrete(2), spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return 0, {"legal_moves": [1]}

    gymnasium.register("Hidden-v0", Hidden)
    with pytest.raises(CannotStart, match=re.escape('Task(mask="info:legal_moves")')):
        by_id.make("Hidden-v0")


@pytest.mark.parametrize("shape", [(84, 84, 4), (3, 64, 64), (7, 7, 3)])
def test_the_convolutional_network_takes_images_of_either_order_and_size(shape: tuple[int, ...]) -> None:
    space = spaces.Box(0, 255, shape, np.uint8)
    logits, values = CnnNetwork(space, spaces.MultiDiscrete([3, 2]))(torch.as_tensor(space.sample())[None])
    assert logits.shape == (1, 5) and values.shape == (1,)
    with pytest.raises(ValueError, match="use the mlp"):
        CnnNetwork(spaces.Box(0, 1, (4,)), spaces.Discrete(2))


def test_the_perceptron_takes_what_stands_side_by_side() -> None:
    space = spaces.Dict(
        {"at": spaces.Discrete(5), "seen": spaces.Tuple([spaces.MultiBinary(3), spaces.Box(0, 1, (2, 2))])}
    )
    obs = {"at": torch.tensor([4]), "seen": (torch.ones(1, 3, dtype=torch.int8), torch.zeros(1, 2, 2))}
    features = MlpNetwork(space, spaces.Discrete(2)).features(obs)
    assert features.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]]
