"""Side-by-side timings of mixsci and its peers; run by `python -m tests.speed`, never by pytest."""
