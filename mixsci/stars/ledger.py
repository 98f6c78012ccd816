"""What is not used of a catalogue, and why: rows left out, and single values set aside whose rows stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixsci.stars.catalogue import Catalogue

Array = np.ndarray


class Ledger:
    """Reasons, noted as they are found; the first of a row stands.

    Attributes:
        reasons: (n,) texts, why a row cannot be used; "" = it can.
        out: (n,) True where it cannot.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.reasons = np.full(catalogue.n_rows, "", dtype=object)
        self.out = np.zeros(catalogue.n_rows, dtype=bool)
        self._columns = catalogue.columns
        self._aside: list[tuple[str, Array, str]] = []

    def leave_out(self, rows: Array, reason: str) -> None:
        """Note that rows (n,) cannot be used."""
        new = rows & ~self.out
        self.reasons[new] = reason
        self.out |= new

    def leave_out_by(self, rows: Array, values: Array, reason: Callable[[float], str]) -> None:
        """Note that rows cannot be used for what they hold: values (n,), a reason made of each.

        A million rows hold few different values once rounded, and each is put into words once.
        """
        new = rows & ~self.out
        distinct, which = np.unique(values[new], return_inverse=True)
        texts = np.array([reason(float(value)) for value in distinct], dtype=object)
        self.reasons[new] = texts[which]
        self.out |= new

    def set_aside(self, role: str, rows: Array, reason: str) -> None:
        """Note that the values of a role are not used in some rows (n,) although they are there.

        Args:
            role: of the catalogue.
            rows: (n,) of bool.
            reason: in which {} stands for the column.
        """
        if rows.any():
            column = self._columns.get(role, role)
            self._aside.append((column, rows, reason.format(column)))

    def leave_out_empty(self, empty: Array, values: str) -> None:
        """Note that nothing is left of rows (n,): for what was set aside there, else because there are no values."""
        for _, rows, reason in self._aside:
            self.leave_out(empty & rows, reason)
        self.leave_out(empty, f"no {values}")

    def aside(self) -> tuple[tuple[str, Array, str], ...]:
        """Column, rows (n,) and reason of the values not used in rows that are."""
        kept = ((column, rows & ~self.out, reason) for column, rows, reason in self._aside)
        return tuple(entry for entry in kept if entry[1].any())
