"""`rllib-exact` computes what sb3-contrib's MaskablePPO computes: the learner.

Measured (torch 2.13, one thread, CPU): every difference below is exactly zero, on all three kinds of action space. What is
asserted is the contract's tolerance where the last bit may depend on the processor's kernels, and zero for data.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact_sides import AGENT, N_ENVS, PPO, SPACES, RllibSide, Sb3Side, config, difference, one_thread
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from sb3_contrib.common.maskable.distributions import make_masked_proba_distribution

from parity.frameworks.rllib.arrays import probability, take
from parity.frameworks.rllib.distributions import mask_logits, masked_distribution
from parity.frameworks.rllib.exact.learner import ExactPPOLearner
from parity.frameworks.rllib.exact.minibatches import ExactMinibatches
from parity.frameworks.rllib.exact.returns import advantages_and_returns
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.frameworks.sampling import inverse_cdf
from parity.task.masks import choices, n_logits

ABSOLUTE, RELATIVE = 1e-6, 1e-5  # shared with the ladder: parity's contract for float32 on a CPU


def assert_close(ours, theirs, what):
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    assert a.shape == b.shape, what
    assert np.isfinite(a).all() and np.isfinite(b).all(), what
    worst = difference(a, b)
    assert (np.abs(a - b) <= np.maximum(ABSOLUTE, RELATIVE * np.abs(b))).all(), f"{what}: {worst}"


def assert_same_tensors(ours, theirs, what):
    """Norm of the difference against the norm of the tensor."""
    assert list(ours) == list(theirs)
    for name in theirs:
        a, b = ours[name].double(), theirs[name].double()
        assert float((a - b).norm()) <= max(RELATIVE * float(b.norm()), 1e-8), f"{what} of {name}"


@pytest.fixture(params=sorted(SPACES))
def sides(request):
    with one_thread():
        yield Sb3Side(SPACES[request.param]), RllibSide(SPACES[request.param])


@pytest.fixture
def side():
    with one_thread():
        yield RllibSide(SPACES["discrete"])


def test_rollout_advantages_and_targets_are_those_of_the_buffer(sides):
    sb3, rllib = sides
    theirs, ours = sb3.sample(), rllib.sample()
    rows = N_ENVS * PPO["n_steps"]
    terminated, truncated = ours["terminateds"].numpy(), ours["truncateds"].numpy()
    assert terminated.sum() > 0
    assert truncated.sum() > N_ENVS, "both truncated and cut episodes must occur"
    assert set(theirs["action_masks"].sum(axis=1)) != {1.0}
    for name in ("actions", "action_masks"):
        mine = ours["actions"] if name == "actions" else ours["obs"]["action_mask"]
        assert difference(theirs[name].reshape(rows, -1), mine.numpy().reshape(rows, -1)) == 0, name
    for key, column in theirs["observations"].items():
        assert difference(column.reshape(rows, -1).astype(np.float32), ours["obs"][key].reshape(rows, -1)) == 0, key
    # SB3 has added the discounted value of the last observation to the rewards of truncated steps.
    plain = ~truncated
    assert difference(theirs["rewards"].ravel()[plain], ours["rewards"].numpy()[plain]) == 0
    columns = {"vf_preds": "values", "action_logp": "log_probs", "advantages": "advantages", "value_targets": "returns"}
    for mine, name in columns.items():
        assert_close(ours[mine], theirs[name].ravel(), name)


def test_log_prob_entropy_and_loss_terms_are_those_of_train(sides):
    sb3, rllib = sides
    for part in (sb3.model, rllib.config):
        part.n_epochs = part.num_epochs = 1
        part.batch_size = part.minibatch_size = N_ENVS * PPO["n_steps"]
    sb3.sample(), rllib.sample()
    logged = sb3.update()
    rllib.update()
    (terms,) = rllib.learner.terms
    for name, ours in (
        ("policy_gradient_loss", terms.policy),
        ("value_loss", terms.value),
        ("entropy_loss", terms.entropy),
        ("loss", terms.total),
        ("approx_kl", terms.approx_kl),
        ("clip_fraction", terms.clip_fraction),
    ):
        assert_close(ours.item(), logged[f"train/{name}"], name)
    assert logged["train/entropy_loss"] < -0.1


def test_distributions_of_module_and_policy_are_equal(sides):
    sb3, rllib = sides
    buffer, batch = sb3.sample(), rllib.sample()
    module, policy = rllib.learner.module[AGENT], sb3.model.policy
    out = module.forward_train(batch)
    ours = module.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
    observations = {key: torch.as_tensor(column) for key, column in buffer["observations"].items()}
    masks = buffer["action_masks"]
    values, log_prob, entropy = policy.evaluate_actions(
        observations, torch.as_tensor(buffer["actions"]).squeeze(-1), masks
    )
    theirs = policy.get_distribution(observations, masks)
    if hasattr(theirs, "distribution"):
        probs = theirs.distribution.probs
    else:
        probs = torch.cat([part.probs for part in theirs.distributions], dim=-1)
    mode = torch.as_tensor(theirs.mode())
    for what, a, b in (
        ("log-prob", ours.logp(batch["actions"]), log_prob),
        ("entropy", ours.entropy(), entropy),
        ("probabilities", probability(ours), probs),
        ("values", module.compute_values(batch, embeddings=out[Columns.EMBEDDINGS]), values.flatten()),
    ):
        assert_close(a.detach(), b.detach(), what)
    assert difference(ours.to_deterministic().sample(), mode) == 0
    assert not probability(ours)[~torch.as_tensor(masks, dtype=torch.bool)].any()


@pytest.mark.parametrize("name", sorted(SPACES))
def test_masked_distribution_is_sb3s_to_the_last_bit(name):
    """Logits far from normalised, masks with one and with many legal actions; values and gradients."""
    space = SPACES[name]
    generator = torch.Generator().manual_seed(0)
    logits = 20 + 5 * torch.randn(200, n_logits(space), generator=generator)
    masks = torch.cat([_mask(n, 200, generator) for n in choices(space)], dim=-1)
    theirs = make_masked_proba_distribution(space)
    actions = _masked(theirs, logits, masks).sample()
    leaves = [logits.clone().requires_grad_() for _ in range(2)]
    # Anew: to have sampled would put the probabilities before the log-prob in the order in which gradients add up.
    theirs = _masked(theirs, leaves[0], masks)
    ours = masked_distribution(space).from_logits(mask_logits(leaves[1], masks.to(torch.int8), space))
    both = [(theirs.log_prob(actions), theirs.entropy()), (ours.logp(actions), ours.entropy())]
    for log_prob, entropy in both:
        (log_prob.exp() + 0.1 * entropy).sum().backward()
    for a, b in zip(*both, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(leaves[0].grad, leaves[1].grad)
    assert float(ours.kl(ours).abs().max()) == 0


def _masked(distribution, logits, masks):
    distribution.proba_distribution(logits)
    distribution.apply_masking(masks.numpy())
    return distribution


def _mask(n, rows, generator):
    legal = torch.rand(rows, n, generator=generator) < 0.4
    legal[torch.arange(rows), torch.randint(n, (rows,), generator=generator)] = True
    return legal


def test_inverse_cdf_never_draws_an_illegal_action():
    probs = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0]]).repeat(5, 1)
    uniforms = torch.tensor([0.0, 0.29, 0.31, 0.5, np.nextafter(1.0, 0.0)], dtype=torch.float64)
    assert inverse_cdf(probs, uniforms).tolist() == [1, 1, 3, 3, 3]


@pytest.mark.parametrize(
    "ppo",
    [
        {},
        {"clip_range_vf": 0.002},
        {"normalize_advantage": False, "max_grad_norm": 0.1},
        {"ent_coef": 0.0, "batch_size": 13},
    ],
    ids=["default", "clip_range_vf", "raw-advantages-clipped-gradients", "even-minibatches"],
)
def test_every_step_of_two_iterations_is_equal(ppo):
    """Gradients after clipping and parameters, at each minibatch; the last of an epoch is short (52 rows, 16 a batch)."""
    with one_thread():
        sb3, rllib = Sb3Side(SPACES["discrete"], **ppo), RllibSide(SPACES["discrete"], **ppo)
        for _ in range(2):
            sb3.sample(), rllib.sample()
            sb3.update(), rllib.update()
    assert len(sb3.steps) == len(rllib.learner.steps) == 2 * 3 * 4
    for i, (theirs, ours) in enumerate(zip(sb3.steps, rllib.learner.steps, strict=True)):
        for part, what in ((0, "gradient"), (1, "parameter")):
            mine, his = ({n: pair[part] for n, pair in step.items()} for step in (ours, theirs))
            assert_same_tensors(mine, his, f"step {i}: {what}")


def test_lockstep_holds_over_iterations(sides):
    sb3, rllib = sides
    for _ in range(5):
        theirs, ours = sb3.sample(), rllib.sample()
        assert difference(theirs["actions"].ravel(), ours["actions"].ravel()) == 0
        sb3.update(), rllib.update()
    assert_same_tensors(rllib.parameters(), sb3.parameters(), "parameter")


def test_target_kl_stops_before_the_same_step():
    ppo = {"target_kl": 0.002, "learning_rate": 0.01, "n_epochs": 10}
    with one_thread():
        sb3, rllib = Sb3Side(SPACES["discrete"], **ppo), RllibSide(SPACES["discrete"], **ppo)
        sb3.sample(), rllib.sample()
        sb3.update(), rllib.update()
    assert 0 < len(sb3.steps) < 40, "the example must stop in the middle"
    assert len(rllib.learner.terms) == len(sb3.steps) + 1, "one more loss than steps"
    assert_same_tensors(rllib.parameters(), sb3.parameters(), "parameter")


def test_recomputed_values_give_the_same_advantages():
    """Stock env runner: no values in the episodes, so the learner computes them, on another batch size."""
    with one_thread():
        rllib = RllibSide(SPACES["discrete"])
        ours = rllib.sample()
        module = rllib.learner.module[AGENT]
        values = module.compute_values(ours).detach()
        assert_close(values, ours["vf_preds"], "values")
        stock = config(SPACES["discrete"]).env_runners(env_runner_cls=MultiAgentEnvRunner)
        runner = MultiAgentEnvRunner(config=stock, worker_index=0)
        learner = stock.build_learner(env=None, spaces=runner.get_spaces())
        batch = learner._learner_connector(
            rl_module=learner.module, batch={}, episodes=runner.sample(), shared_data={}, metrics=None
        )[AGENT]
    assert Columns.LOSS_MASK not in batch
    assert_close(batch["vf_preds"], learner.module[AGENT].compute_values(batch).detach(), "values")
    assert_close(batch["value_targets"], batch["advantages"] + batch["vf_preds"], "targets")
    assert float(batch["advantages"].std()) > 0.1
    terminal = batch["terminateds"]
    assert terminal.any()
    assert_close(batch["advantages"][terminal], (batch["rewards"] - batch["vf_preds"])[terminal], "terminal advantages")


def test_advantages_are_gae():
    """Against the definition, summed term by term in float64."""
    rng = np.random.default_rng(0)
    rewards, values = (rng.normal(size=12).astype(np.float32) for _ in range(2))
    ends = np.zeros(12, dtype=bool)
    ends[[3, 4, 11]] = True
    bootstrap = np.where(ends, [0, 0, 0, 1.5, 0, 0, 0, 0, 0, 0, 0, -0.5], 0).astype(np.float32)
    advantages, returns = advantages_and_returns(rewards, values, ends, bootstrap, gamma=0.9, gae_lambda=0.8)
    for t in range(12):
        end = t + int(np.argmax(ends[t:]))
        following = [*values[t + 1 : end + 1], bootstrap[end]]
        deltas = [rewards[t + k] + 0.9 * following[k] - values[t + k] for k in range(end - t + 1)]
        assert advantages[t] == pytest.approx(sum(0.72**k * delta for k, delta in enumerate(deltas)), abs=1e-5)
    np.testing.assert_array_equal(returns, advantages + values)


def test_a_nan_is_named_and_stops_the_update(side):
    batch = side.sample()
    side.config.minibatch_size = len(batch["advantages"])
    batch["advantages"][5] = float("nan")
    before = {name: p.clone() for name, p in side.parameters().items()}
    with pytest.raises(
        FloatingPointError, match=r"module 'agent': the gradient of parameter 'network\.image\.0\.weight'"
    ):
        side.update()
    assert all(torch.equal(p, before[name]) for name, p in side.parameters().items())


def test_a_module_without_value_function_is_named(side):
    class NoValues(TorchRLModule):
        setup, _forward, _logits_and_values = (
            getattr(SharedNetworkModule, name) for name in ("setup", "_forward", "_logits_and_values")
        )

    brought = config(SPACES["discrete"])
    brought._rl_module_spec.rl_module_specs[AGENT].module_class = NoValues
    runner = brought.env_runner_cls(config=brought, worker_index=0)
    learner = brought.build_learner(env=None, spaces=runner.get_spaces())
    with pytest.raises(TypeError, match=r"module 'agent' \(NoValues\) does not implement ValueFunctionAPI"):
        learner.update(episodes=runner.sample(), num_epochs=1, minibatch_size=16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_kl_loss": True}, "use_kl_loss=False"),
        ({"vf_clip_param": 10.0}, "vf_clip_param"),
        ({"grad_clip_by": "value"}, "global_norm"),
        ({"learner_config_dict": {"adam_epsilon": 1e-5}}, "adam_epsilon"),
        ({"learner_config_dict": {"target_kl": 0.0}}, "`target_kl`: input should be greater than 0"),
    ],
)
def test_what_maskable_ppo_does_not_do_is_refused(side, change, message):
    refused = side.config.copy(copy_frozen=False)
    (refused.learners if "learner_config_dict" in change else refused.training)(**change)
    with pytest.raises(ValueError, match=message):
        refused.build_learner(env=None, spaces=side.runner.get_spaces())


def test_each_module_has_its_own_epochs():
    """RLlib deals minibatches until the largest module is through: the smaller one is visited several times as often."""
    rng = np.random.default_rng(0)
    batch = MultiAgentBatch(
        {mid: SampleBatch({"row": torch.arange(n)}) for mid, n in (("long", 70), ("short", 20))}, 70
    )
    dealt = {"long": [], "short": []}
    for minibatch in ExactMinibatches(
        batch, num_epochs=3, minibatch_size=16, permutation=lambda _, n: rng.permutation(n)
    ):
        for module_id, rows in minibatch.policy_batches.items():
            dealt[module_id].append(rows["row"].tolist())
    for module_id, n, sizes in (("long", 70, [16] * 4 + [6]), ("short", 20, [16, 4])):
        assert [len(rows) for rows in dealt[module_id]] == sizes * 3
        rows = np.concatenate(dealt[module_id])
        assert (np.bincount(rows) == 3).all()
        epochs = rows.reshape(3, n)
        assert (np.sort(epochs, axis=1) == np.arange(n)).all(), "each epoch is a permutation"
        assert not (epochs == np.arange(n)).all(axis=1).any(), "the first one included"


def test_permutations_depend_on_seed_module_and_update_alone(side):
    learner = side.learner
    learner.permutation_source = None

    def draw(module_id, update):
        learner._weights_seq_no = update
        learner._generators.clear()
        return [learner.permutation(module_id, 50).tolist() for _ in range(2)]

    first = draw("a", 1)
    assert first == draw("a", 1)
    assert first[0] != first[1]
    assert first != draw("a", 2) and first != draw("b", 1)


def test_single_row_minibatch_is_not_normalised(side):
    batch = take(side.sample(), np.array([7]))
    out = side.learner.module[AGENT].forward_train(batch)
    terms = ExactPPOLearner.loss_terms(
        side.learner, module_id=AGENT, config=side.learner.config, batch=batch, fwd_out=out
    )
    assert torch.equal(terms.advantages, batch["advantages"])
    assert torch.isfinite(terms.total)


def test_every_parameter_of_the_examples_gets_a_gradient(side):
    """Otherwise equal gradients would prove little."""
    side.sample(), side.update()
    for name, (gradient, _) in side.learner.steps[0].items():
        assert float(gradient.abs().max()) > 0, name
