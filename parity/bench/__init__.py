"""``parity bench``: whether the port is as fast. Rounds of fresh processes, one framework after the other, and their ratio."""
