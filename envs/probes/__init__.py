"""Probe environments: each asks one question of an implementation, is learned in seconds and has a closed-form answer.

    probe-one-action        is the value trained?
    probe-observation       do policy and value see the observation of their own decision?
    probe-mask              does the policy act under the mask that the environment shows?
    probe-forced            does a mask that leaves a single action keep that decision out of the gradient?
    probe-mask-by-action    is the mask that of the state in which the policy acts?
    probe-previous-step     is a reward credited to the step before, discounted once?
    probe-lambda            is lambda the one that was asked for?
    probe-time-limit        is the value behind a time limit bootstrapped, and none behind an end?
    probe-other-agent       does a policy learn from what another agent did?
    probe-cooperative       do two agents that share a reward both learn, each with its own observation and mask?
    probe-competitive       do two agents with opposite rewards reach the saddle point?

One file is one probe: its environment, the derivation of its answer, its task (``task``) and its claims (``probe``).
``parity.probes`` says what a claim is, asks a trained policy and judges what it answers.
"""
