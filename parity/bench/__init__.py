"""``parity bench``: is the port as fast? Rounds of fresh processes, one framework after the other, and their ratio."""
