"""``parity translate``: arguments of MaskablePPO or PPO, as they are written down, to code that builds a ``PPOConfig``.

`read.py` finds the arguments (`python_call.py` in Python source, `json_yaml.py` in JSON and YAML). `translate.py` gives
hyperparameters their RLlib names by way of `parity.frameworks.hyperparameters`, `other_arguments.py` the rest. `code.py`
writes the Python. Nothing that is read is executed.
"""
