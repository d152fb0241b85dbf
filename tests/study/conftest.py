"""Studies run as users run them: the console script in a process of its own, in a folder outside the repository."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TASK = '''
import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from parity import PPOParams, Task


class Match(gymnasium.Env):
    """Sixteen steps; one of four actions equals what is shown and pays 1, and one other action is illegal."""

    observation_space = spaces.Discrete(4)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.show(), {"action_mask": self.mask}

    def show(self):
        self.shown = int(self.np_random.integers(4))
        self.mask = np.ones(4, dtype=np.int8)
        self.mask[(self.shown + 1 + self.np_random.integers(3)) % 4] = 0
        return self.shown

    def step(self, action):
        self.steps += 1
        reward = float(action == self.shown)
        return self.show(), reward, self.steps >= 16, False, {"action_mask": self.mask}


class Network(torch.nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.logits = torch.nn.Embedding(int(observation_space.n), int(action_space.n))
        self.value = torch.nn.Embedding(int(observation_space.n), 1)
        torch.nn.init.zeros_(self.logits.weight)

    def forward(self, obs):
        return self.logits(obs), self.value(obs).squeeze(-1)


task = Task(
    id="match",
    env=Match,
    network=Network,
    ppo=PPOParams(n_envs=4, n_steps=64, learning_rate=0.02),
    steps=2048,
    eval_every=1024,
    eval_episodes=20,
    reference={"uniform_legal": 16 / 3, "best": 16.0, "source": "one of three legal actions is right"},
)
'''


@dataclasses.dataclass
class Parity:
    """The console script, run in ``folder``."""

    folder: Path
    prelude: str = ""  # Python to run in the same process before

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", f"{self.prelude}\nfrom parity.cli import main; main()", *arguments]

    def __call__(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background job ignores SIGINT and hands that down; a user's terminal does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def write(self, name: str, *changes: tuple[str, str]) -> str:
        """The task file above with some of its text replaced; each text must be there."""
        text = TASK
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / name).write_text(text)
        return name

    def summary(self, study: str) -> dict[str, Any]:
        return json.loads((self.folder / "results" / study / "summary.json").read_text())


@pytest.fixture
def parity(tmp_path: Path) -> Parity:
    return Parity(tmp_path)


@pytest.fixture(scope="module")
def shared_parity(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Parity]:
    """One folder for the tests of a module that read the same study."""
    folder = tmp_path_factory.mktemp("studies")
    return lambda: Parity(folder)
