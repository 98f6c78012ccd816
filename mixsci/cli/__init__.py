"""The command line: arguments in, one verb called, files out. Results on standard output, notes on standard error.

Exit codes: 0 done, 1 input that cannot be used (one line says why), 2 a wrong command.
"""

from __future__ import annotations

import typer

from mixsci.cli import catalogues, demo, matrices, plates, simulations, tables, warming
from mixsci.cli.console import OneLine

app = typer.Typer(
    cls=OneLine, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Gaussian mixtures for real scientific data: gaps, measurement errors, weights tied by physics.",
)  # fmt: skip
app.command()(tables.fit)
app.command()(tables.info)
app.command()(demo.demo)
app.command()(warming.warmup)

simulation = typer.Typer(cls=OneLine, no_args_is_help=True, help="Write simulated data whose truth is known.")
simulation.command()(simulations.stars)
simulation.command()(simulations.stream)
simulation.command()(simulations.disc)
simulation.command()(simulations.cells)
simulation.command()(simulations.ddpcr)
app.add_typer(simulation, name="simulate")

droplets = typer.Typer(
    cls=plates.QuantifyFirst, no_args_is_help=True, short_help="Quantify plates of droplets.",
    help="Quantify plates of droplets; `mixsci ddpcr PLATE_DIR -o DIR` is `mixsci ddpcr quantify PLATE_DIR -o DIR`.",
)  # fmt: skip
droplets.command()(plates.quantify)
app.add_typer(droplets, name="ddpcr")

catalogue = typer.Typer(cls=OneLine, no_args_is_help=True, help="Deconvolve catalogues of stars, find stream members.")
catalogue.command()(catalogues.deconvolve)
catalogue.command()(catalogues.stream)
app.add_typer(catalogue, name="stars")

matrix = typer.Typer(cls=OneLine, no_args_is_help=True, help="Cluster cells whose values are partly missing.")
matrix.callback()(matrices.about)
matrix.command()(matrices.cluster)
app.add_typer(matrix, name="cells")


def main() -> None:
    """Run the command line."""
    app()
