"""``check --checkpoint``: the ladder at the weights that a training ended with, and what may be read of a file."""

from __future__ import annotations

import collections
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parity.capture import collect
from parity.capture.checkpoint import STATE_FILE, Checkpoint, rllib_weights, sb3_weights
from parity.cli import call
from parity.errors import CannotStart
from parity.frameworks import get
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.ladder.run_rungs import run_rungs
from parity.task import Task
from parity.testing.toy_envs import Net, maze_task


class Tires(SharedNetworkModule):
    """Right for a thousand updates: then it no longer masks what it learns from."""

    def setup(self) -> None:
        self.model_config = {**self.model_config, "network": Net}
        super().setup()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = super()._forward_train(batch, **kwargs)
        if self.updates >= 1_000:
            out["action_dist_inputs"] = out["action_dist_inputs"].clamp(min=-3)
        self.updates += 1
        return out


def stored(folder: Path, state: Any, module_id: str = "agent") -> Path:
    path = folder / "learner_group" / "learner" / "rl_module" / module_id / STATE_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(state))
    return folder


def test_arrays_alone_are_read(tmp_path: Path) -> None:
    state = collections.OrderedDict(w=np.ones((2, 3), np.float32), n=np.asarray(7))
    weights = rllib_weights(stored(tmp_path, state), trusted=False)["agent"]
    assert torch.equal(weights["w"], torch.ones(2, 3)) and int(weights["n"]) == 7


class Executes:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["PARITY_TEST_MADE"],)


def test_what_would_execute_code_is_refused_until_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    monkeypatch.setenv("PARITY_TEST_MADE", str(made))
    folder = stored(tmp_path / "checkpoint", {"w": np.ones(2), "more": Executes()})
    with pytest.raises(CannotStart, match=r"posix\.mkdir.*--trust-checkpoint"):
        rllib_weights(folder, trusted=False)
    assert not made.exists()
    assert rllib_weights(folder, trusted=True)["agent"].keys() == {"w"} and made.exists()


def test_what_is_no_checkpoint_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=STATE_FILE):
        rllib_weights(tmp_path, trusted=False)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as zipped:
        zipped.writestr("data", "{}")
    with pytest.raises(CannotStart, match=r"MaskablePPO\.save"):
        sb3_weights(tmp_path / "other.zip")


def test_weights_of_another_network_are_refused_by_name() -> None:
    checkpoint = Checkpoint(port={"agent": {"weight": torch.ones(3, 2), "bias": torch.ones(3)}})
    with pytest.raises(CannotStart, match=r"weight is \[3, 2\] in the checkpoint and \[5, 2\]"):
        checkpoint.of_port("agent", {"agent": torch.nn.Linear(2, 5)})
    with pytest.raises(CannotStart, match="and not player"):
        checkpoint.of_port("player", {})


class Clamps(SharedNetworkModule):
    """Keeps logits above -20, which changes nothing until they have grown."""

    def setup(self) -> None:
        self.model_config = {**self.model_config, "network": Net}
        super().setup()

    def _logits_and_values(self, batch: dict[str, Any]) -> Any:
        logits, values = super()._logits_and_values(batch)
        return logits.masked_fill((logits < -20) & (logits > -1e6), -20.0), values


def findings(task: Task, checkpoint: Checkpoint | None) -> set[str]:
    """Codes above info."""
    capture = collect(task, "rllib", "cpu", checkpoint=checkpoint)
    assert capture is not None and not capture.context.raised
    return {finding.code for finding in run_rungs(capture).raw_findings if finding.severity != "info"}


def saved(folder: Path, steps: int, change: Callable[[torch.nn.Module], object] = lambda _: None) -> Path:
    """What ``MaskablePPO.save`` writes of the maze, trained for a while."""
    session = get("sb3").open(maze_task(), 0, "cpu", 1)
    if steps:
        session.train(steps, lambda _: None)
    with torch.no_grad():
        change(session.model.policy)
    session.save(folder)
    session.close()
    return folder / "model.zip"


@pytest.mark.slow
def test_a_port_is_compared_at_the_weights_of_a_model_that_has_learned(tmp_path: Path) -> None:
    first, last = (sb3_weights(saved(tmp_path / str(steps), steps)) for steps in (0, 640))
    assert all(not torch.equal(first[name], each) for name, each in last.items())
    assert not findings(maze_task(), Checkpoint(sb3=last))


def grown(policy: Any) -> None:
    policy.network.policy.weight *= 200


@pytest.mark.slow
def test_a_port_that_is_right_at_first_is_wrong_at_logits_that_have_grown(tmp_path: Path) -> None:
    checkpoint = Checkpoint(sb3=sb3_weights(saved(tmp_path, 320, grown)))
    clamps = maze_task(rllib_module=Clamps)
    assert not findings(maze_task(), checkpoint)
    assert "PAR101" in findings(clamps, checkpoint) - findings(clamps, None)


def broken(policy: Any) -> None:
    policy.network.policy.bias[1] = float("nan")


def test_a_model_whose_network_has_become_nan_is_never_called_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    task = "from parity.testing.toy_envs import maze_task\n\ntask = maze_task()\n"
    (tmp_path / "my_task.py").write_text(task)
    file = saved(tmp_path / "model", 0, broken)
    code = call(["check", "--task", "my_task.py", "--frameworks", "rllib", "--sb3-checkpoint", str(file)])
    said = capsys.readouterr().out
    assert code == 1, said


def test_a_port_that_has_become_wrong_is_found_at_its_last_weights(tmp_path: Path) -> None:
    task = maze_task(rllib_module=Tires)

    assert not findings(task, None)
    session = get("rllib").open(task, 0, "cpu", 1)
    session.train(64, lambda _: None)
    session.save(tmp_path)
    session.close()
    weights = rllib_weights(tmp_path, trusted=False)["agent"]
    assert 0 < int(weights["updates"]) < 1_000
    assert not findings(task, Checkpoint(port={"agent": weights}))
    assert "PAR201" in findings(task, Checkpoint(port={"agent": {**weights, "updates": torch.tensor(1_000)}}))
