"""What no program can be faster than: the arithmetic of a step and the bytes it must move.

    python benchmarks/floor.py WORKLOAD

Prints one JSON line.  `flops` counts the multiplications and additions of every contraction of
the step (matrix products and convolutions, forward and backward) in chainrule's own recorded
graph, after equal nodes are shared; nothing is computed.  `state_bytes` is one reading and one
writing of every parameter and of what the optimizer keeps for it.
"""

from __future__ import annotations

from math import prod

import common
import workloads

from chainrule import graph, rewrite


def contraction_flops(node) -> int:
    """Operations of out[o] = sum of x[..] * y[..]: a product, and an addition where axes are
    summed, for every combination of the labels."""
    if node.name != "contract":
        return 0
    xl, yl, ol = node.attrs["labels"]
    length = {}
    for labels, x in zip((xl, yl), node.inputs):
        length |= dict(zip(labels, x.shape))
    summed = set(length) - set(ol)
    return (2 if summed else 1) * prod(length.values())


def step_flops(training) -> int:
    """All contractions of loss and gradients: an optimizer has none."""
    loss = training.loss()
    loss.backward()
    outputs = [loss.node, *(p.grad.node for p in training.parameters)]
    return sum(map(contraction_flops, graph.toposort(rewrite.rewrite(outputs))))


def state_bytes(training) -> int:
    """Parameters and the optimizer's tensors of their shapes, read once and written once."""
    training.optimizer.step()
    state = training.optimizer.state
    kept = [x for p in training.parameters for x in (p, *state[p].values())]
    return 2 * sum(x.numel() * x.element_size() for x in kept if getattr(x, "shape", None))


def floor(name: str, threads: int) -> dict:
    torch = common.use_threads("chainrule", threads)
    if name == "scalar003":
        flops, nbytes = 0, 0
    else:
        torch.manual_seed(0)
        training = workloads.TRAININGS[name](torch)
        flops, nbytes = step_flops(training), state_bytes(training)
    return dict(flops=flops, state_bytes=nbytes)


if __name__ == "__main__":
    cell = common.cell_arguments("workload")
    common.print_json(**floor(cell.workload, cell.threads))
