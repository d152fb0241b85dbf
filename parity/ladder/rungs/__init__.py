"""One file per rung: what is compared, on NumPy alone. Each is a pure function of a port's numbers."""
