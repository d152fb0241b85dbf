"""A port as it was reported: it samples legal actions and does not learn."""
