"""How many seeds and tasks does a decision take, and how long on this machine? Nothing here trains or imports a framework."""
