"""SB3's side of the ladder."""
