"""A plate of 96 wells, 16,000 droplets and two channels from files to results.csv: `python -m tests.ddpcr_speed`.

Prints seconds and peak memory of a process that reads, fits, makes intervals and writes results.csv, no pictures, with
kernels compiled before. The exit code says whether it took less than 15 s and 1 GB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SECONDS, MEGABYTES = 15.0, 1000.0
WORK = """
import json, sys, time
from mixsci import ddpcr
warm = ddpcr.quantify(ddpcr.simulate_plate([[0.3, 0.3]] * 3, n_droplets=500, rng=1).plate)
begin = time.perf_counter()
plate = ddpcr.read_plate(sys.argv[1])
read = time.perf_counter()
ddpcr.quantify(plate).to_csv(sys.argv[2])
end = time.perf_counter()
from pathlib import Path
status = Path("/proc/self/status")
peak = [line for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
print(json.dumps({"read": read - begin, "all": end - begin, "mb": int(peak[0].split()[1]) / 1024 if peak else None}))
"""


def main() -> int:
    from mixsci.ddpcr.simulate import simulate_plate

    targets = np.repeat([0.01, 0.1, 1.0, 0.5, 0.2, 0.05], 15)
    with tempfile.TemporaryDirectory() as folder:
        simulate_plate(np.column_stack([targets, np.full(90, 0.5)]), controls=6, rng=1).write(Path(folder) / "plate")
        command = [sys.executable, "-c", WORK, str(Path(folder) / "plate"), str(Path(folder) / "results.csv")]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    memory = "unknown" if found["mb"] is None else f"{found['mb']:.0f} MB"
    seconds = f"{found['all']:.1f} s (reading {found['read']:.1f} s)"
    print(f"96 wells x 16,000 droplets x 2 channels: {seconds}, peak {memory}")
    return int(found["all"] > SECONDS or (found["mb"] or 0.0) > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
