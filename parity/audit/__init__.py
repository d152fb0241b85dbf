"""Watches a training that runs, whoever wrote it: `watch` for RLlib, `WatchCallback` for Stable-Baselines3.

What is seen is put into numbers beside the training (`rllib`, `sb3`, by `numbers`), and judged without any framework (`judge`,
`course`). Nothing here draws a random number, calls a module or changes a tensor: a watched training is the same training.
"""
