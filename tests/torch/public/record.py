"""Run a script, unchanged, on PyTorch or on chainrule and write down the losses it passes.

    python record.py torch|chainrule OUT STEPS SCRIPT [ARGS ...]

A loss is whatever `backward` is called on; after STEPS of them the script is stopped.
"""

import importlib
import json
import random
import sys

import numpy

from chainrule import cli


class Enough(SystemExit):
    """The losses asked for are there."""


def record(torch, limit):
    """The list that the losses of this process go to from now on."""
    losses, backward = [], torch.Tensor.backward

    def recording_backward(self, *args, **kwargs):
        losses.append(self.item())
        if len(losses) == limit:
            raise Enough(0)
        return backward(self, *args, **kwargs)

    torch.Tensor.backward = recording_backward
    return losses


def main(backend, out, steps, script, *args):
    if backend == "chainrule":
        cli.install()
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(0)  # for the scripts that set none
    losses = record(torch, int(steps))
    try:
        code = cli.run(script, args)
    except SystemExit as stop:
        code = stop.code
    with open(out, "w") as file:
        json.dump(losses, file)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
