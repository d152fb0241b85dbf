"""A module beside a task file, which every process has to find."""

BONUS = 0.0
