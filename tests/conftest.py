"""What every test stands on: one BLAS thread, no display, repeatable examples, and the way to real data."""

import os
from collections.abc import Mapping
from pathlib import Path

# Read by BLAS when it is loaded: two test processes on two cores would otherwise fight over them.
for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

import pytest  # noqa: E402 - after the lines above, which BLAS reads
from hypothesis import settings  # noqa: E402 - the same

ROOT = Path(__file__).resolve().parent.parent

# The first example compiles kernels, which no deadline allows for.
settings.register_profile("mixsci", deadline=None, derandomize=True)
settings.load_profile("mixsci")


def find_real_data(environment: Mapping[str, str]) -> Path:
    """The folder of real data; where there is none the test is skipped, and on CI it fails."""
    folder = Path(environment.get("MIXSCI_REAL_DATA") or ROOT.parent / "shared" / "data")
    if folder.is_dir():
        return folder
    reason = f"real data must stand in {folder}; put them there or set MIXSCI_REAL_DATA"
    if environment.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}; CI must not skip them", pytrace=False)
    return pytest.skip(reason)


@pytest.fixture(scope="session")
def real_data() -> Path:
    return find_real_data(os.environ)
