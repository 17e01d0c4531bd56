"""What recording costs: microseconds per elementwise op, module call and structural-key node.

    python benchmarks/recording.py

Prints the minimum and the median over several rounds; nothing here passes or fails a test.
"""

import time

import chainrule as torch
from chainrule.graph import structural_key

OPS = 300
ROUNDS = 200


def timed(function) -> tuple[float, float]:
    """Minimum and median seconds of a call."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
        del result
    times.sort()
    return times[0], times[len(times) // 2]


def report(name: str, function, count: int) -> None:
    low, middle = timed(function)
    print(f"{name:44} min {low / count * 1e6:6.3f} us   median {middle / count * 1e6:6.3f} us")


def chain(x, y):
    """A chain of binary ops, as a user writes them."""
    z = x
    for _ in range(OPS // 3):
        z = z * y
        z = z + x
        z = z - y
    return z


def scalars(x):
    z = x
    for _ in range(OPS // 2):
        z = z * 2.0
        z = z + 1.0
    return z


def unary(x):
    z = x
    for _ in range(OPS // 2):
        z = z.tanh()
        z = z.exp()
    return z


def calls(function, x):
    for _ in range(OPS):
        function(x)


def main() -> None:
    x = torch.rand(8, requires_grad=True)
    y = torch.rand(8)
    plain = torch.rand(8)
    report("tensor op tensor, tracked", lambda: chain(x, y), OPS)
    report("tensor op tensor, not tracked", lambda: chain(plain, y), OPS)
    report("tensor op number", lambda: scalars(x), OPS)
    report("unary method", lambda: unary(x), OPS)
    module = torch.nn.Identity()
    report("module call, and its forward", lambda: calls(module, x), OPS)
    report("that forward alone", lambda: calls(module.forward, x), OPS)
    z = chain(x, y)
    z.sum().backward()
    node = x.grad.node
    size = len(structural_key([node])[1])
    report(f"structural key, a node ({size} nodes)", lambda: structural_key([node]), size)


if __name__ == "__main__":
    main()
