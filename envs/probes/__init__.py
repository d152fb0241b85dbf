"""Probe environments: each asks one question of an implementation, is learned in seconds and has a closed-form answer.

One file is one probe: its environment, the derivation of its answer, its task (``task``) and its claims (``probe``).
``parity.probes`` says what a claim is, asks a trained policy and judges what it answers.
"""
