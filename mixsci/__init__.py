"""Gaussian mixtures for real scientific data."""

__version__ = "0.1.0"
