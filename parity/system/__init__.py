"""The machine, Ray, processes of our own and the console."""
