"""Rung 0: the module's interface, the configuration, the environment against the single-agent one."""

from __future__ import annotations

from parity.ladder.findings.rule import UPSTREAM, Rule

_UPDATE = ("PAR603", "PAR701", "PAR801")

RULES = (
    Rule(
        code="PAR001",
        title="the port cannot be opened",
        severity="error",
        explanation="An exception before there was anything to compare: every rung counts as not holding.",
        origin="An exception while environments, modules, learner or configuration are built, or in one of the environments.",
        fix="The log has the traceback; the exception's own message names the place.",
    ),
    Rule(
        code="PAR002",
        title="another module runs than the one that was asked for",
        severity="error",
        explanation="The network that is trained is not the one that was written: RLlib fell back to a default module.",
        origin=(
            "The RLModuleSpec is keyed by another id than the one that policy_mapping_fn returns, or the module class was "
            "set in a config that a later .rl_module(...) replaced; a missing entry falls back without a word "
            "(algorithm_config.py:4686-4700, ray 2.60)."
        ),
        fix='config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"<module id>": RLModuleSpec(MyModule)}))',
        explains=("PAR003", "PAR004", "PAR034"),
    ),
    Rule(
        code="PAR003",
        title="module does not implement ValueFunctionAPI",
        severity="error",
        explanation=(
            "RLlib computes advantages and value targets only for modules that are instances of ValueFunctionAPI, and "
            "skips all others without a word (general_advantage_estimation.py:94-107, ray 2.60). The loss then finds no "
            "advantages, or whatever the module itself returned under that name."
        ),
        origin=(
            "The module inherits from TorchRLModule alone. A method called compute_values does not help: the loss would "
            "call it, the connector asks for the class. The check that PPOLearner declares (rl_module_required_apis) is "
            "overridden by TorchLearner's, so nothing complains."
        ),
        fix="class MyModule(TorchRLModule, ValueFunctionAPI)",
        explains=(
            "PAR506",
            "PAR401",
            "PAR402",
            "PAR403",
            "PAR404",
            "PAR405",
            "PAR501",
            "PAR502",
            "PAR503",
            "PAR602",
            "PAR702",
        ),
        links=(f"{UPSTREAM}/pull/46657", "https://docs.ray.io/en/latest/rllib/rl-modules.html"),
    ),
    Rule(
        code="PAR004",
        title="the module gets no action mask",
        severity="error",
        explanation=(
            "The observation that RLlib's module receives has no entry action_mask, so nothing can keep it from illegal "
            "actions, and no comparison that needs the mask can run."
        ),
        origin="The multi-agent environment leaves the mask in info or in a method, or names its entry otherwise.",
        fix='observation["action_mask"] = mask.astype(np.int8)  # and Box(0, 1, (n,), np.int8) in the space',
        explains=("PAR201", "PAR202", "PAR203", "PAR204", "PAR302"),
    ),
    Rule(
        code="PAR005",
        title="a mask allows no action",
        severity="error",
        explanation=(
            "With additive masks the distribution over illegal actions becomes uniform; with -inf it becomes NaN, and RLlib "
            "replaces the gradient by zero and goes on."
        ),
        origin="The environment asks for an action in a state where none is legal, or gives a mask of the wrong state.",
        fix="End the episode where nothing is legal, or leave one action (a no-op) legal.",
        explains=("PAR106", "PAR201", "PAR302", "PAR312", "PAR505", "PAR601"),
    ),
    Rule(
        code="PAR006",
        title="the learning agent's module is not trained",
        severity="error",
        explanation="Its parameters stay what they were, however long training goes on.",
        origin="policies_to_train leaves it out, or policy_mapping_fn gives its decisions to another module.",
        fix='config.multi_agent(policies_to_train=["<module id>"])',
    ),
    Rule(
        code="PAR007",
        title="the forward pass returns advantages or value targets",
        severity="warning",
        explanation=(
            "Every column that the forward pass returns besides the actions goes through the episodes into the train batch. "
            "Where RLlib computes advantages itself it overwrites these; where it does not, the loss takes them for real."
        ),
        origin="Added to get rid of KeyError: 'advantages', whose cause is a missing ValueFunctionAPI (PAR003).",
        fix="return {Columns.ACTION_DIST_INPUTS: logits}",
    ),
    Rule(
        code="PAR010",
        title="hyperparameters differ from the task's",
        severity="error",
        explanation="RLlib would train with other settings than SB3: the two then learn differently, and both are right.",
        origin=(
            "PPOConfig's defaults differ from SB3's in nearly every field (learning rate 5e-5, lambda 1.0, clip 0.3, KL "
            "loss on, 30 epochs, no gradient clipping)."
        ),
        fix="config.training(lr=..., lambda_=..., clip_param=...)",
    ),
    Rule(
        code="PAR011",
        title="the squared value error is clamped",
        severity="error",
        explanation=(
            "vf_clip_param bounds the squared error itself (ppo_torch_learner.py:99-100, ray 2.60): beyond it the value "
            "function has no gradient at all, and never catches up with large returns. SB3's clip_range_vf is another thing."
        ),
        origin="PPOConfig's default is 10, so errors above 3.2 are not learned from.",
        fix='config.training(vf_clip_param=float("inf"))',
        explains=("PAR502", "PAR504", "PAR602", *_UPDATE),
        links=(f"{UPSTREAM}/issues/8908", f"{UPSTREAM}/issues/9951"),
    ),
    Rule(
        code="PAR012",
        title="a KL term is part of the loss",
        severity="error",
        explanation=(
            "RLlib adds kl_coeff times the KL divergence from the sampling policy and adapts the coefficient; SB3 has no "
            "such term. It is infinite where a probability underflows."
        ),
        origin="use_kl_loss is True by default.",
        fix="config.training(use_kl_loss=False)",
        explains=("PAR504", *_UPDATE),
    ),
    Rule(
        code="PAR013",
        title="the framework's PPO cannot take a hyperparameter as the task has it",
        severity="info",
        explanation="The difference is by design; the update's rung measures its share where it can.",
        origin="The framework's configuration (PPOConfig, for RLlib) has no counterpart of the field.",
        fix='config.learners(learner_class=ExactPPOLearner)  # what the framework "rllib-exact" does',
    ),
    Rule(
        code="PAR014",
        title="an environment is reset with the same seed again",
        severity="error",
        explanation="Episodes start from the same random state again and again: training sees a few of them only.",
        origin=(
            'seed together with batch_mode="complete_episodes": every sample() resets with the seed '
            "(multi_agent_env_runner.py:321-327, ray 2.60)."
        ),
        fix='config.env_runners(batch_mode="truncate_episodes")  # or config.debugging(seed=None)',
    ),
    Rule(
        code="PAR015",
        title="sub-environments play the same episodes",
        severity="error",
        explanation="Several sub-environments then add rows but no experience.",
        origin="The environment takes its randomness from env_config or a constant instead of reset(seed=...).",
        fix="def reset(self, *, seed=None, options=None): super().reset(seed=seed)",
        links=(f"{UPSTREAM}/issues/46986",),
    ),
    Rule(
        code="PAR016",
        title="complete_episodes with several sub-environments",
        severity="warning",
        explanation=(
            "sample() stops as soon as enough complete episodes are in and throws the unfinished ones away: short episodes "
            "are over-represented (multi_agent_env_runner.py:282-288, ray 2.60)."
        ),
        origin='batch_mode="complete_episodes" with num_envs_per_env_runner above 1.',
        fix='config.env_runners(batch_mode="truncate_episodes")',
        explains=("PAR309",),
    ),
    Rule(
        code="PAR017",
        title="torch_skip_nan_gradients is on",
        severity="warning",
        explanation=(
            "It does the opposite of what its documentation says: an update with NaN gradients is taken, and the weights "
            "become NaN (torch_learner.py:204-275, ray 2.60)."
        ),
        origin="Switched on against NaN warnings.",
        fix="config.training(torch_skip_nan_gradients=False)",
    ),
    Rule(
        code="PAR018",
        title="a module's own gamma or lambda has no effect",
        severity="error",
        explanation="RLlib computes advantages of all modules with the global gamma and lambda (ppo_learner.py:71-75).",
        origin="algorithm_config_overrides_per_module sets them for one module.",
        fix="config.training(gamma=..., lambda_=...)  # for all modules",
        explains=("PAR404", "PAR405", "PAR501", "PAR502", *_UPDATE),
    ),
    Rule(
        code="PAR019",
        title="the environment returns the same arrays at every step",
        severity="warning",
        explanation=(
            "Earlier observations change when the environment writes into them. RLlib's synchronous vector environment "
            "copies observations, other callers may not."
        ),
        origin="The environment keeps one buffer and returns it.",
        fix="return {agent: {key: array.copy() for key, array in observation.items()}}, ...",
    ),
    Rule(
        code="PAR020",
        title="the module starts from weights of another scale",
        severity="warning",
        explanation=(
            "The shares of policy, value and features in the first updates differ from SB3's, which can decide whether a "
            "task is learned. The ladder copies SB3's weights in; training starts from the module's own."
        ),
        origin="PyTorch's default initialisation instead of orthogonal with gain sqrt(2), 0.01 for logits and 1 for values.",
        fix="nn.init.orthogonal_(self.pi.weight, gain=0.01); nn.init.zeros_(self.pi.bias)",
    ),
    Rule(
        code="PAR021",
        title="rollouts are counted in agent steps",
        severity="warning",
        explanation="With several agents a rollout then has fewer environment steps than the task's n_steps * n_envs.",
        origin='config.multi_agent(count_steps_by="agent_steps").',
        fix='config.multi_agent(count_steps_by="env_steps")',
    ),
    Rule(
        code="PAR022",
        title="sub-environments of different env runners share seeds",
        severity="warning",
        explanation=(
            "Runner w seeds its sub-environment i with seed + w + i, so that the second one of the first runner and the "
            "first one of the second runner are the same environment (env_runner.py:91-97, ray 2.60)."
        ),
        origin="Several env runners with several sub-environments each, and a seed.",
        fix="Seed the environment from env_config.worker_index and env_config.vector_index.",
        links=(f"{UPSTREAM}/issues/46986",),
    ),
    Rule(
        code="PAR023",
        title="finished episodes are converted again at every step",
        severity="info",
        explanation=(
            "No number changes, but sampling slows down with the square of the episodes in a rollout "
            "(multi_agent_env_runner.py:558-561, ray 2.60)."
        ),
        origin="episodes_to_numpy is True by default.",
        fix="config.env_runners(episodes_to_numpy=False)",
    ),
    Rule(
        code="PAR024",
        title="torch_compile_learner does nothing",
        severity="info",
        explanation=(
            "The forward pass for training is not compiled: the test for it looks at another module "
            "(torch_learner.py:501-506, ray 2.60)."
        ),
        origin='torch_compile_learner=True with "forward_train", its default.',
        fix="self.encoder = torch.compile(self.encoder)  # in setup()",
    ),
    Rule(
        code="PAR025",
        title="a module that is to be trained is never used",
        severity="warning",
        explanation="No agent's decisions reach it, so it is neither trained nor compared with anything.",
        origin="policy_mapping_fn names another module, or the module was left over when two agents came to share one.",
        fix="config.multi_agent(policies=..., policies_to_train=..., policy_mapping_fn=...)  # the same ids in all three",
    ),
    Rule(
        code="PAR026",
        title="the port trains another network than SB3",
        severity="warning",
        explanation=(
            "Number or shapes of the parameters differ, so forward passes cannot be compared on the same weights. What can "
            "be learned, and how fast, may differ for that alone."
        ),
        origin="Other layers or widths, RLlib's default model config, layers of its own for the value, or a network by intent.",
        fix='Give both sides the same layers, or Task(..., declared={"PAR026": "why"})',
    ),
    Rule(
        code="PAR030",
        title="the learning agent observes something else than in the single-agent environment",
        severity="error",
        explanation="With the same seed and the same actions, the two environments show the agent different numbers.",
        origin=(
            "Another pre-processing or dtype, an observation of the wrong step, a stale copy, another use of the random "
            "generator, or another agent whose actions change the world: declare the last in the task."
        ),
        fix='Task(..., declared={"PAR030": "the other agent changes what this one sees"})  # or make them equal',
    ),
    Rule(
        code="PAR031",
        title="the learning agent's mask is another than in the single-agent environment",
        severity="error",
        explanation="Actions are forbidden that should be legal, or allowed that should not.",
        origin="The mask of another agent, of the previous step, inverted, or in another order.",
        fix='observation["action_mask"] = the mask of this agent in the state that is returned',
        explains=("PAR036",),
    ),
    Rule(
        code="PAR032",
        title="the learning agent's reward is another than in the single-agent environment",
        severity="error",
        explanation="It is trained for something else, or on another scale (which clipping and the value loss do feel).",
        origin="Reward scaled, clipped or shared between agents in the multi-agent wrapper.",
        fix='Task(..., declared={"PAR032": "..."})  # or return the single-agent reward',
    ),
    Rule(
        code="PAR033",
        title="episodes end otherwise than in the single-agent environment",
        severity="error",
        explanation="Lengths, terminations or truncations differ, so returns and bootstrap values do.",
        origin="terminated and truncated swapped or merged, another time limit, an end for one agent only.",
        fix='return obs, rewards, {"__all__": terminated}, {"__all__": truncated}, infos',
    ),
    Rule(
        code="PAR034",
        title="the learning agent's observation space is another than the single-agent environment's",
        severity="error",
        explanation="The two networks see different inputs, so weights cannot be compared.",
        origin="Entries added, left out or reshaped in the multi-agent environment.",
        fix='Task(..., declared={"PAR034": "..."})  # or the same space plus an entry "action_mask"',
    ),
    Rule(
        code="PAR035",
        title="the single-agent environment cannot be repeated from its seed",
        severity="warning",
        explanation=(
            "Two copies with one seed and the same actions differ. That is no defect of the port; but its view of the "
            "environment cannot be compared, lockstep cannot go on, and evaluation does not play the same episodes twice."
        ),
        origin=(
            "Randomness from elsewhere than self.np_random (NumPy's global generator, action_space.sample()), or state that "
            "survives reset()."
        ),
        fix="super().reset(seed=seed), and only self.np_random afterwards; or env=lambda: parity.Repeatable(MyEnv())",
    ),
    Rule(
        code="PAR048",
        title="the multi-agent environment cannot be repeated from its seed",
        severity="error",
        explanation=(
            "One seed and the same actions give other episodes each time. Nothing that it shows can be compared with the "
            "single-agent environment, and no run of it can be repeated."
        ),
        origin="reset drops its seed, or something draws from a generator that reset does not seed (np.random, random).",
        fix="super().reset(seed=seed), hand the seed to every inner environment, and draw from self.np_random alone",
        explains=("PAR030", "PAR031", "PAR032", "PAR033", "PAR036"),
    ),
    Rule(
        code="PAR049",
        title="env runners play another environment than the configuration makes",
        severity="error",
        explanation=(
            "What is sampled is not what was compared with the single-agent environment: the same seed and actions, on a new "
            "environment, give other observations, rewards or ends."
        ),
        origin="A callback or connector that changes the environment while it is played, or something shared by environments.",
        fix="Change the environment in its own class, on both sides",
    ),
    Rule(
        code="PAR036",
        title="the multi-agent environment refuses an action that the single-agent environment allows",
        severity="error",
        explanation="An action that is legal under the single-agent environment's mask raises.",
        origin="Another mask, another order of actions, or a step after the end.",
        fix="The evidence has the exception.",
    ),
    Rule(
        code="PAR037",
        title="the mask never changes",
        severity="info",
        explanation=(
            "The mask was the same at every decision of the rollout. Where it allows everything, nothing that masking does "
            "can be wrong here, and nothing of it was tested."
        ),
        origin="A task without illegal actions, or a mask that is computed once instead of at every step.",
        fix="Nothing has to be fixed where the environment means it.",
    ),
    Rule(
        code="PAR038",
        title="the single-agent environment shows two masks that differ",
        severity="warning",
        explanation=(
            "It shows its mask in several places, and they do not agree about the same state. SB3 asks action_masks(), ports "
            'for RLlib mostly read observation["action_mask"]: each then learns under another mask.'
        ),
        origin="One of them is of the previous state, of another agent, or was changed and the other was not.",
        fix='Return one mask in all places, or name the right one: Task(..., mask="method:action_masks")',
    ),
    Rule(
        code="PAR039",
        title="the multi-agent environment's mask cannot be read as a mask",
        severity="error",
        explanation=(
            "Its entry action_mask has another length than there are options, or holds something else than 1 for legal and "
            "0 for illegal: an additive mask (0 and -inf) reads the wrong way round."
        ),
        origin="A mask that is made to be added to logits, of another agent's action space, or without some sub-action.",
        fix='observation["action_mask"] = legal.astype(np.int8)  # and torch.where(mask > 0, logits, -1e8) in the module',
        explains=(
            "PAR031",
            "PAR036",
            "PAR101",
            "PAR106",
            "PAR107",
            "PAR201",
            "PAR202",
            "PAR203",
            "PAR204",
            "PAR301",
            "PAR302",
            "PAR303",
            "PAR312",
            *_UPDATE,
        ),
    ),
)
