"""Environments and tasks that come with parity, installed as ``parity_envs``."""
