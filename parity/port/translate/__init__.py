"""``parity translate``: arguments of MaskablePPO or PPO, as they are written down, to code that builds a ``PPOConfig``.

`read.py` finds the arguments (`call.py` in Python source, `mapping.py` in JSON and YAML), `translate.py` gives them their
RLlib names by way of `parity.frameworks.hyperparameters`, `code.py` writes the Python. Nothing that is read is executed.
"""
