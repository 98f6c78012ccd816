"""How many threads every package may use."""

THREADS = 2
