"""The engine: observations, mixtures, models and the EM loop; it knows no science."""
