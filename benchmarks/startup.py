"""How long `import chainrule` takes, beside Python and NumPy alone, in fresh processes.

    python benchmarks/startup.py

Prints the minimum and the median of wall-clock seconds; byte code is cached first, as an
installation does.  Nothing here passes or fails a test.
"""

import os
import subprocess
import sys
import tempfile
import time

ROUNDS = 15


def seconds(code: str, environment: dict) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        times.append(time.perf_counter() - start)
    return sorted(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        for code in ("pass", "import numpy", "import chainrule"):
            seconds(code, environment)
            times = seconds(code, environment)
            print(f"{code:20} min {times[0]:.3f} s   median {times[len(times) // 2]:.3f} s")


if __name__ == "__main__":
    main()
