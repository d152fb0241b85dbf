"""From the id of a gymnasium environment to the task file that it amounts to."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium

from parity.errors import CannotStart, in_short

NETWORKS: dict[str, tuple[str, str]] = {
    "mlp": ("parity_envs.mlp", "MlpNetwork"),
    "cnn": ("parity_envs.cnn", "CnnNetwork"),
}
FOLDER = "env-tasks"

_FILE = '''"""{env} with a built-in network, for both frameworks.

    parity check --task {file}
    parity run --task {file}

Written by `{command}`.
With `reference=` (the returns of uniform legal play and of the best policy known) its scores could be compared across studies;
`rllib_module=` and `rllib_config=` bring a port of your own.
"""

from functools import partial

from parity_envs import by_id
from {module} import {network}

from parity import PPOParams, Task

task = Task(
    id={id},
    env=partial(by_id.make, {quoted}{arguments}),
    network={network},
    ppo=PPOParams(n_envs=8, n_steps=256, batch_size=256, n_epochs=10, learning_rate=3e-4, gamma=0.99),
    steps=65_536,
    eval_every=8_192,
    eval_episodes=20,
)
'''


def task_file(env: str, network: str, env_kwargs: Sequence[str]) -> tuple[str, str]:
    """File name and text of the task of an environment, ``Env-v0`` or ``module:Env-v0``.

    Args:
        env_kwargs: ``name:value`` or ``name=value``, Python values; anything else is a string.

    Raises:
        CannotStart: no such environment or network, or an argument of another form.
    """
    if network not in NETWORKS:
        raise CannotStart(f"--network {network}: choose mlp or cnn.")
    kwargs = dict(map(_argument, env_kwargs))
    _look_up(env)
    name = env.rpartition(":")[2]
    stem = re.sub(r"\W+", "_", f"{name}_{network}").strip("_").lower()
    if kwargs:
        stem += f"_{hashlib.sha256(repr(sorted(kwargs.items())).encode()).hexdigest()[:6]}"
    module, class_name = NETWORKS[network]
    given = f" --env-kwargs {shlex.join(env_kwargs)}" if kwargs else ""
    text = _FILE.format(
        env=env,
        file=f"{stem}.py",
        command=f"parity init FOLDER --from {env} --network {network}{given}",
        module=module,
        network=class_name,
        id=json.dumps(re.sub(r"[^\w.-]+", "-", name).lower()),
        quoted=json.dumps(env),
        arguments=f", **{kwargs!r}" if kwargs else "",
    )
    return f"{stem}.py", text


def write_task_file(env: str, network: str, env_kwargs: Sequence[str], out: Path) -> Path:
    """Into ``env-tasks`` under the folder of studies, where trials, and a resumed study, find it again.

    Raises:
        CannotStart: as `task_file`; the file is there and says something else, or cannot be written.
    """
    name, text = task_file(env, network, env_kwargs)
    path = out / FOLDER / name
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise CannotStart(
                f"--env {env}: {path} was changed since it was written: run it with --task, or delete it."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotStart(f"{path}: cannot write there ({error.strerror}); choose another --out.") from error
    return path


def _argument(text: str) -> tuple[str, Any]:
    given = re.fullmatch(r"([A-Za-z_]\w*)[:=](.*)", text)
    if given is None:
        raise CannotStart(f"--env-kwargs {text}: write name:value.")
    try:
        return given[1], ast.literal_eval(given[2])
    except (ValueError, SyntaxError):
        return given[1], given[2]


def _look_up(env: str) -> None:
    module, _, name = env.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        gymnasium.spec(name)
    except (ImportError, gymnasium.error.Error) as error:
        raise CannotStart(f"--env {env}: {in_short(error)}.") from error
