"""What helps to write a port: a scaffold, and the translation of SB3's hyperparameters."""
