"""Prepare: look at gaps, make gaps where a value says nothing, leave out what is empty, transform."""

from mixsci.cells.filtering import filter_missing
from mixsci.cells.marking import mark_missing
from mixsci.cells.missingness import missingness
from mixsci.cells.transforms import transform

__all__ = ["filter_missing", "mark_missing", "missingness", "transform"]
