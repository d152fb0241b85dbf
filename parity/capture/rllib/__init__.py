"""What the ladder compares of a port on RLlib, collected: runs, and judges nothing."""
