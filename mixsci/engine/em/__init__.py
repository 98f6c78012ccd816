"""How a model is fitted: starts, the climb, and when to stop."""
