"""Every block of README and documentation is run, as a reader would; the two `make` commands are what CI itself runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
# In the order of somebody who reads them all: what one page writes, a later one uses.
PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("index", "your-port", "verdict", "check", "watch", "bisect", "bench", "gate")),
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Exit codes that the text around a command announces.
ANNOUNCED = {
    "parity check --task parity_envs.reported.port:task --frameworks rllib": 1,
    "parity run --frameworks sb3 rllib --seeds 1 --steps 4096 --name first-look": 3,
    "parity report first-look": 3,
    "parity bench --rounds 1 --iterations 1": 3,
    "parity run --env Taxi-v3 --network mlp --seeds 1 --steps 4096 --out tries": 1,
}
TRAINING = ("parity run", "parity report", "parity bench", "parity bisect", "parity baseline", "parity gate")
# Run by CI and by the slow test below, from a clean clone.
INSTALLING = ("make run", "make test", "python -m venv")


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(page: str) -> list[str]:
    shell = [text for language, text in blocks(page) if language == "sh" and not text.startswith(INSTALLING)]
    return [line.partition("#")[0].strip() for text in shell for line in text.strip().splitlines()]


def test_every_block_is_of_a_language_that_is_run() -> None:
    """What is no command of the reader's, such as all options of one, says that it is text; the rest are files."""
    assert {language for page in PAGES for language, _ in blocks(page)} == {"python", "sh", "text", "toml", "yaml"}
    # The adapter's page shows a file of an example, which has tests of its own.
    (shown,) = [text for language, text in blocks("docs/frameworks.md") if language == "python"]
    written = (ROOT / "examples" / "parity-torchrl" / "tests" / "test_conformance.py").read_text(encoding="utf-8")
    assert all(line in written for line in shown.splitlines() if not line.startswith("#"))


def python_blocks() -> list[str]:
    return [text for page in PAGES for language, text in blocks(page) if language == "python"]


class _Short:
    """A model of somebody's own training, which learns a little however much it is asked to."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def learn(self, total_timesteps: int, callback: Any = None) -> None:
        self.model.learn(min(total_timesteps, 64), callback=callback)


def test_what_is_shown_of_ones_own_training_runs_on_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.rllib.algorithms.ppo import PPOConfig
    from stable_baselines3 import PPO

    import parity

    monkeypatch.chdir(tmp_path)
    shown = [text for text in python_blocks() if "task = Task(" not in text]
    assert shown
    for text in shown:
        model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, n_epochs=1, device="cpu")
        config = PPOConfig().environment("CartPole-v1")
        given = {"parity": parity, "config": config, "model": _Short(model)}
        exec(text, given)
        assert given["config"].learner_class is not config.get_default_learner_class()


@pytest.mark.parametrize("trains", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_block_of_readme_and_documentation_runs(tmp_path: Path, trains: bool) -> None:
    """``trains``: also the commands that train, and those that need what was trained. A command of two pages runs once."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    (port,) = [text for text in python_blocks() if "task = Task(" in text]
    (tmp_path / "my_port.py").write_text(port, encoding="utf-8")
    every = list(dict.fromkeys(command for page in PAGES for command in commands(page)))
    for command in every:
        if command.startswith(TRAINING) and not trains:
            continue
        outcome = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert outcome.returncode == ANNOUNCED.get(command, 0), f"{command}\n{outcome.stdout}\n{outcome.stderr}"
    assert len(every) > 12
    assert (tmp_path / "results" / "first-look" / "report.html").is_file() == trains
