"""Fit, and write what was found: clusters, factors, filled gaps, markers, gates, flags."""

from mixsci.cells.clustering import mixture
from mixsci.cells.factoring import factor
from mixsci.cells.flags import doublets, outliers
from mixsci.cells.gates import gate
from mixsci.cells.holding import held_out
from mixsci.cells.imputing import impute
from mixsci.cells.mapping import map_cells as map  # noqa: A004 (the verb of scverse)
from mixsci.cells.markers import rank_markers
from mixsci.cells.selecting import select

__all__ = ["doublets", "factor", "gate", "held_out", "impute", "map", "mixture", "outliers", "rank_markers", "select"]
