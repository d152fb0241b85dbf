"""Two board games of ``pettingzoo.classic``: against a fixed opponent, and in self-play."""
