"""`parity translate`: what it reads, and what it says of the rest."""

from __future__ import annotations

import ast
import inspect
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO

from parity.cli import call
from parity.frameworks import hyperparameters
from parity.port.translate.arguments import PARAMETERS, ZOO_KEYS
from parity.port.translate.json_yaml import read_mapping
from parity.task import PPOParams

Document = dict[str, Any]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def translated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """``parity translate`` of a text in a file of this name, or on standard input; the document of ``--json``."""

    def run(text: str, *options: str, name: str = "train.py") -> Document:
        if name == "-":
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        else:
            Path(name).write_text(text, encoding="utf-8")
        code = call(["translate", name, *options, "--json"])
        out, err = capsys.readouterr()
        assert code == 0 and err == "", err
        found: Document = json.loads(out)
        assert ast.parse(found["code"])
        return found

    return run


def fields(found: Document) -> dict[str, str]:
    """What has no counterpart: field -> what RLlib does and what to do."""
    return {each["field"]: f"{each['instead']}; {each['remedy']}" for each in found["not_translated"]}


@pytest.mark.parametrize("algorithm", [MaskablePPO, PPO])
def test_the_parameters_and_defaults_are_those_of_sb3(algorithm: type) -> None:
    parameters = inspect.signature(algorithm.__init__).parameters  # type: ignore[misc]
    assert PARAMETERS[algorithm.__name__] == tuple(parameters)[1:]
    ours = hyperparameters.to_sb3(hyperparameters.of_sb3_arguments({}))
    assert {name: parameters[name].default for name in ours} == ours


SNIPPETS: dict[str, tuple[str, dict[str, Any]]] = {
    "keywords": ("PPO('MlpPolicy', env, n_steps=512, gamma=0.9)", {"n_steps": 512, "gamma": 0.9}),
    "positions": (
        "MaskablePPO('MlpPolicy', env, 1e-3, 64, 32)",
        {"learning_rate": 1e-3, "n_steps": 64, "batch_size": 32},
    ),
    "arithmetic": (
        "PPO('p', env, n_steps=2 * 1024, ent_coef=-1 / 4, gamma=1 - 2**-4)",
        {"n_steps": 2048, "ent_coef": -0.25, "gamma": 0.9375},
    ),
    "names": (
        "A = 16\nB = A * 4\ndef main():\n    C: float = 0.5\n    return PPO('p', env, n_steps=B, gae_lambda=C)",
        {"n_steps": 64, "gae_lambda": 0.5},
    ),
    "conversions": (
        "PPO('p', env, n_steps=int(1e3), batch_size=25, max_grad_norm=float('inf'))",
        {"n_steps": 1000, "batch_size": 25, "max_grad_norm": "inf"},
    ),
    "an alias": ("from sb3_contrib import MaskablePPO as M\nM('p', env, n_epochs=3)", {"n_epochs": 3}),
    "a module's attribute": ("import sb3_contrib\nsb3_contrib.MaskablePPO('p', env, n_epochs=3)", {"n_epochs": 3}),
    "a chain": ("PPO('p', env, n_epochs=3).learn(1000)", {"n_epochs": 3}),
    "a dict of arguments": (
        "kw = dict(n_epochs=3)\nPPO('p', env, **kw, **{'gamma': 0.5})",
        {"n_epochs": 3, "gamma": 0.5},
    ),
    "epsilon in policy_kwargs": (
        "PPO('p', env, policy_kwargs=dict(optimizer_kwargs=dict(eps=1e-7)))",
        {"adam_eps": 1e-7},
    ),
    "an optimiser without epsilon": (
        "PPO('p', env, policy_kwargs={'optimizer_kwargs': {'weight_decay': 0.1}})",
        {"adam_eps": 1e-8},
    ),
    "another library's PPO beside it": (
        "from ray.rllib.algorithms.ppo import PPO\nPPO()\nMaskablePPO('p', env, n_epochs=3)",
        {"n_epochs": 3},
    ),
    "an environment by name": ("PPO('p', 'CartPole-v1')", {"n_envs": 1}),
    "make_vec_env": ("N = 6\nenv = make_vec_env('CartPole-v1', n_envs=N)\nPPO('p', env)", {"n_envs": 6}),
    "wrapped twice under one name": (
        "env = make_vec_env('C', 5)\nenv = VecMonitor(env)\nenv = VecNormalize(env, gamma=0.9)\nPPO('p', env)",
        {"n_envs": 5},
    ),
    "a list of environments": ("PPO('p', SubprocVecEnv([make(i) for i in range(3)]))", {"n_envs": 3}),
    "a repeated environment": ("PPO('p', env=DummyVecEnv([make] * 4))", {"n_envs": 4}),
}


@pytest.mark.parametrize(("text", "wanted"), SNIPPETS.values(), ids=SNIPPETS)
def test_a_snippet_is_read(translated: Any, text: str, wanted: dict[str, Any]) -> None:
    found = translated(text)["ppo"]
    assert {name: found[name] for name in wanted} == wanted
    others = PPOParams(n_envs=found["n_envs"], n_steps=2048)
    assert all(found[name] == getattr(others, name) for name in found if name not in wanted)


UNTOLD: dict[str, tuple[str, str]] = {
    "a lambda": ("PPO('p', env, clip_range=lambda left: 0.2 * left)", "clip_range"),
    "a schedule of one's own": ("PPO('p', env, learning_rate=linear_schedule(3e-4))", "learning_rate"),
    "an argument of the program": ("PPO('p', env, n_steps=args.n_steps)", "n_steps"),
    "a name that is assigned twice": ("N = 64\nN = 32\nPPO('p', env, n_steps=N)", "n_steps"),
    "a name that is an argument too": ("N = 64\ndef f(N):\n    PPO('p', env, n_steps=N)", "n_steps"),
    "a name that is imported too": ("N = 64\nfrom settings import N\nPPO('p', env, n_steps=N)", "n_steps"),
    "a changed dict": ("k = {'optimizer_kwargs': {}}\nk['a'] = 1\nPPO('p', env, policy_kwargs=k)", "policy_kwargs"),
    "a number too large to compute": ("PPO('p', env, n_steps=9 ** 9 ** 9)", "n_steps"),
    "a division by zero": ("PPO('p', env, gamma=1 / 0)", "gamma"),
    "a hidden epsilon": ("PPO('p', env, policy_kwargs=dict(optimizer_kwargs=dict(eps=E)))", "adam_eps"),
    "a name that names itself": ("N = N + 1\nPPO('p', env, n_steps=N)", "n_steps"),
    "a seed": ("PPO('p', env, seed=args.seed)", "seed"),
}


@pytest.mark.parametrize(("text", "field"), UNTOLD.values(), ids=UNTOLD)
def test_what_only_running_the_file_would_tell_is_said_and_marked(translated: Any, text: str, field: str) -> None:
    found = translated(text)
    assert field in fields(found)
    default = hyperparameters.of_sb3_arguments({})
    if hasattr(default, field):
        assert found["ppo"][field] == getattr(default, field)
    if field not in ("policy_kwargs", "seed", "adam_eps"):
        assert "# not translated: " in found["code"], "the line that holds SB3's default says so"


EVERY: dict[str, Any] = {
    "policy": "CnnPolicy", "env": "Taxi-v3", "learning_rate": 1e-5, "n_steps": 99, "batch_size": 33, "n_epochs": 2,
    "gamma": 0.5, "gae_lambda": 0.5, "clip_range": 0.4, "clip_range_vf": 0.5, "normalize_advantage": False,
    "ent_coef": 0.1, "vf_coef": 0.1, "max_grad_norm": 9.0, "use_sde": True, "sde_sample_freq": 4,
    "rollout_buffer_class": "mine.Buffer", "rollout_buffer_kwargs": {"a": 1}, "target_kl": 0.1, "stats_window_size": 7,
    "tensorboard_log": "logs", "policy_kwargs": {"net_arch": [8]}, "verbose": 1, "seed": 5, "device": "cuda",
    "_init_setup_model": False, "n_envs": 9, "n_timesteps": 5000, "normalize": True, "frame_stack": 4,
    "env_wrapper": "mine.Wrapper", "vec_env_wrapper": "mine.Vec", "env_kwargs": {"render_mode": "human"},
    "monitor_kwargs": {"b": 2}, "callback": "mine.Callback", "adam_eps": 1e-3,
}  # fmt: skip


def test_every_argument_is_known() -> None:
    assert set(EVERY) == {*PARAMETERS["PPO"], *PARAMETERS["MaskablePPO"], *ZOO_KEYS}


@pytest.mark.parametrize("name", EVERY)
def test_no_argument_is_dropped_in_silence(translated: Any, name: str) -> None:
    """Each changes the configuration, or stands among what has no counterpart."""
    plain = {"env": "CartPole-v1"} if name == "env_kwargs" else {}
    with_it, without = (translated(json.dumps(each), name="a.json") for each in (plain | {name: EVERY[name]}, plain))
    mentioned = any(field.partition(",")[0] == name for field in fields(with_it))
    assert mentioned or with_it["config"] != without["config"]


@pytest.mark.parametrize(
    "name", ["learning_rate", "clip_range", "target_kl", "normalize", "frame_stack", "policy_kwargs"]
)
def test_what_has_no_counterpart_says_what_rllib_does_and_what_to_do(translated: Any, name: str) -> None:
    value = "lin_0.1" if name in ("learning_rate", "clip_range") else EVERY[name]
    found = translated(json.dumps({name: value}), name="a.json")
    (entry,) = [each for each in found["not_translated"] if each["field"].partition(",")[0] == name]
    assert len(entry["instead"]) > 15 and len(entry["remedy"]) > 15
    assert entry["remedy"].split()[0] in found["code"], "it stands in the code as a comment"


def test_masks_are_spoken_of_where_the_model_is_masked(translated: Any) -> None:
    assert "action masks" in fields(translated("MaskablePPO('MultiInputPolicy', env)"))
    assert "action masks" not in fields(translated("PPO('MultiInputPolicy', env)"))


def test_the_exact_learner_leaves_no_hyperparameter_untranslated(translated: Any) -> None:
    text = json.dumps({"target_kl": 0.1, "clip_range_vf": 0.3, "normalize_advantage": False, "n_envs": 4})
    stock, exact = (set(fields(translated(text, *options, name="a.json"))) for options in ((), ("--exact",)))
    names = {"target_kl", "clip_range_vf", "normalize_advantage", "adam_eps", "n_steps", "batch_size"}
    assert names <= stock and not names & exact


ZOO = """
default: &default
  n_envs: 8
  policy: 'MlpPolicy'
A-v1:
  <<: *default
  n_timesteps: !!float 1e6
  learning_rate: lin_2.5e-4
  policy_kwargs: "dict(net_arch=dict(pi=[64, 64], vf=[64]), activation_fn=nn.ReLU, ortho_init=False)"
  normalize: "{'norm_obs': True, 'norm_reward': False}"
"""


def test_a_number_without_a_point_is_a_number() -> None:
    arguments = read_mapping("n_timesteps: 1e6\nlearning_rate: 3e-4\n", "a.yml", "yaml")
    assert arguments.values == {"n_timesteps": 1_000_000, "learning_rate": 3e-4}


def test_a_zoo_file_is_read_by_environment(translated: Any) -> None:
    found = translated(ZOO, "--env", "A-v1", name="ppo.yml")
    assert found["origin"] == "ppo.yml, A-v1" and found["ppo"]["n_envs"] == 8
    rollout = 8 * 2048
    assert found["config"]["training"]["lr"] == [
        [0, pytest.approx(2.5e-4 * (1 - rollout / 1e6))],
        [1_000_000 - rollout, 0.0],
    ]
    notes = fields(found)
    assert {"policy_kwargs, net_arch", "policy_kwargs, activation_fn", "normalize", "n_timesteps"} <= set(notes)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("PPO('p', env, n_steps=8, batch_size=4)", 8),
        ('{"n_steps": 8}', 8),
        ("A-v0:\n  n_steps: 8\n", 8),
        ("n_steps: 8", 8),
    ],
)
def test_standard_input_is_read_by_its_look(translated: Any, text: str, steps: int) -> None:
    assert translated(text, name="-")["ppo"]["n_steps"] == steps


def test_the_options_choose(translated: Any) -> None:
    two = "PPO('p', env, n_steps=8)\nPPO('p', env, n_steps=16)\n"
    found = translated(two, "--line", "2", "--n-envs", "4")
    assert (found["ppo"]["n_steps"], found["ppo"]["n_envs"]) == (16, 4) and "n_envs" not in fields(found)
    assert "n_envs" in fields(translated(two, "--line", "1"))


def test_nothing_that_is_read_is_run_or_becomes_code(translated: Any) -> None:
    """Neither by a name or text with a line break, nor where the zoo has Python in a string."""
    evil = "x\nopen('evil', 'w')\n"
    entries = {
        evil: {
            "policy": evil,
            "env_kwargs": "dict(a=open('evil', 'w'))",
            "tensorboard_log": f'"""{evil}',
            "env_wrapper": [evil],
        }
    }
    for text, name in (
        (json.dumps(entries), "a.json"),
        (f"PPO({evil!r}, env, n_steps=open('evil', 'w'), seed={evil!r} or 1)", "b.py"),
    ):
        source = translated(text, name=name)["code"]
        allowed = (ast.ImportFrom, ast.Assign)
        assert all(isinstance(each, allowed) for each in ast.parse(source).body)
        called = {
            ast.unparse(each.func).rpartition(".")[2]
            for each in ast.walk(ast.parse(source))
            if isinstance(each, ast.Call)
        }
        assert called <= {
            "PPOConfig",
            "float",
            "environment",
            "env_runners",
            "training",
            "learners",
            "debugging",
            "reporting",
        }
    assert not Path("evil").exists()


def test_neither_torch_nor_a_framework_is_loaded() -> None:
    import subprocess

    Path("a.py").write_text("PPO('p', env)")
    done = subprocess.run(
        [sys.executable, "-c", "import sys\nfrom parity.cli import call\nassert call(['translate', 'a.py']) == 0\n"
         "assert not {'torch', 'ray', 'stable_baselines3'} & set(sys.modules)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
