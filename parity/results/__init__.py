"""Every form that parity stores, each with its schema: what writes it, what reads it, what it may hold."""
