"""Whether training gives the same bits on any number of workers.

    python benchmarks/same_bits.py
    python benchmarks/same_bits.py --workloads gpt --workers 1,2 --steps 100
    python benchmarks/same_bits.py WORKLOAD STEPS --threads N     one cell in this process

Trains each workload on each number of workers, every time in a fresh process, and prints a digest
of all losses and of the parameters at the end.  Ends with an error if two digests of one workload
differ.  The first step is interpreted, by NumPy's matrix products on one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time

import common
import workloads


def digest(name: str, workers: int, steps: int) -> dict:
    """Of the losses of so many steps and of the last parameters."""
    import chainrule as torch

    torch.set_num_threads(workers)
    training = workloads.TRAININGS[name]
    made = []

    def remembered(module):
        made.append(training(module))
        return made[0]

    workloads.TRAININGS[name] = remembered
    step = workloads.step_of(torch, name, compiled=True)
    found, start = hashlib.sha256(), time.perf_counter()
    for _ in range(steps):
        found.update(step().hex().encode())
    for p in made[0].parameters:
        found.update(p.detach().numpy().tobytes())
    return {"digest": found.hexdigest()[:16], "seconds": time.perf_counter() - start}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", type=common.names, default=["mlp64", "mnist_cnn", "gpt"])
    parser.add_argument("--workers", type=lambda s: [int(n) for n in s.split(",")],
                        default=[1, 2, 3, 8])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one process")
    options = parser.parse_args()
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    rows, same = [], True
    for name in options.workloads:
        digests = set()
        for workers in options.workers:
            cell = common.run_cell("same_bits.py", name, options.steps, threads=workers,
                                   timeout=options.timeout, environment=one)
            digests.add(cell.get("digest"))
            rows.append([name, f"{workers}", cell.get("digest", cell.get("error")),
                         common.short(cell.get("seconds"))])
        same &= len(digests) == 1 and None not in digests
    print(common.table(["workload", "workers", f"digest of {options.steps:,} steps", "s"], rows))
    return 0 if same else 1


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in workloads.TRAININGS:
        cell = common.cell_arguments("workload", "steps")
        common.print_json(**digest(cell.workload, cell.threads, int(cell.steps)))
    else:
        sys.exit(main())
