"""``check --checkpoint``: the ladder at the weights that a training ended with, and what may be read of a file."""

from __future__ import annotations

import collections
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parity.capture import collect
from parity.capture.checkpoint import STATE_FILE, Checkpoint, rllib_weights, sb3_weights
from parity.errors import CannotStart
from parity.frameworks import get
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.ladder.run_rungs import run_rungs
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


def test_a_port_that_has_become_wrong_is_found_at_its_last_weights(tmp_path: Path) -> None:
    task = maze_task(rllib_module=Tires)

    def failing(checkpoint: Checkpoint | None) -> set[str]:
        capture = collect(task, "rllib", "cpu", checkpoint=checkpoint)
        assert capture is not None and not capture.context.raised
        return {finding.code for finding in run_rungs(capture).raw_findings if finding.is_error}

    assert not failing(None)
    session = get("rllib").open(task, 0, "cpu", 1)
    session.train(64, lambda _: None)
    session.save(tmp_path)
    session.close()
    weights = rllib_weights(tmp_path, trusted=False)["agent"]
    assert 0 < int(weights["updates"]) < 1_000
    assert not failing(Checkpoint(port={"agent": weights}))
    assert "PAR201" in failing(Checkpoint(port={"agent": {**weights, "updates": torch.tensor(1_000)}}))
