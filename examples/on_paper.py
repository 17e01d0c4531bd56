"""One hidden layer with weight decay, as one does it on paper; the equations derive themselves.

    z = W1 x,  h = tanh(z),  o = W2 h,  L = 1/2 |o - y|^2
    s = lambda/2 (|W1|^2 + |W2|^2),  J = L + s

The seven gradients dJ/dL, dJ/ds, dJ/do, dJ/dh, dJ/dz, dJ/dW2, dJ/dW1 are printed, each without
having been announced; the order of the backward pass is the exact reverse of the forward one.
Then a bias is added: the graph is drawn anew, and so are its equations.

The second network is a classifier, h1 = x W1, o1 = tanh(h1), h2 = o1 W2, p = softmax(h2): every
factor of dLoss/dW1 = dLoss/dh2 dh2/do1 do1/dh1 dh1/dW1 is printed, and every line can be run alone.
"""

import argparse
from pathlib import Path

import chainrule as torch


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64, requires_grad=True)


def on_paper(folder, with_bias):
    W1 = matrix([[0.1, 0.2, -0.3], [0.4, -0.5, 0.6]])
    W2 = matrix([[0.7, -0.8], [0.9, 1.0]])
    b = matrix([0.1, -0.1])
    x = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    y = torch.tensor([1.0, 0.0], dtype=torch.float64)
    lam = 0.1

    z = W1 @ x
    if with_bias:
        z = z + b
    h = torch.tanh(z)
    o = W2 @ h
    L = 0.5 * ((o - y) ** 2).sum()
    s = lam / 2 * ((W1**2).sum() + (W2**2).sum())
    J = L + s

    name = "with_bias" if with_bias else "on_paper"
    torch.show(J, folder / f"{name}.html")
    torch.draw(J, folder / f"{name}.svg", title="One hidden layer with weight decay")
    print(torch.equations(J))
    back = torch.backprop(J)
    print("forward: ", " ".join(n.name for n in back.reverse[::-1]))
    print("backward:", " ".join(n.name for n in back.reverse))
    for name, tensor in dict(L=L, s=s, o=o, h=h, z=z, W2=W2, W1=W1).items():
        print(f"dJ/d{name} = {back.gradient(tensor).tolist()}")
    J.backward()
    assert back.gradient(W1).tolist() == W1.grad.tolist()
    print()


def classifier(folder):
    torch.manual_seed(0)
    x = torch.rand(4, 3, dtype=torch.float64)
    W1, W2 = (torch.randn(*shape, dtype=torch.float64, requires_grad=True)
              for shape in ((3, 5), (5, 2)))
    y = torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0]]
    h1 = x @ W1  # (4, 5)
    o1 = torch.tanh(h1)
    h2 = o1 @ W2  # (4, 2)
    p = torch.softmax(h2, dim=1)
    Loss = ((y - p) ** 2).sum() / len(x)

    torch.show(Loss, folder / "classifier.html")
    back = torch.backprop(Loss)
    dh2 = back.gradient(h2)  # dLoss/dh2
    do1 = dh2 @ W2.T  # dh2/do1 = W2, of the right shape
    dh1 = do1 * (1 - o1**2)  # do1/dh1, elementwise
    dW1 = x.T @ dh1  # dh1/dW1 = x
    print("Loss =", Loss.item())
    for name, factor in dict(dh2=dh2, do1=do1, dh1=dh1, dW1=dW1, dW2=o1.T @ dh2).items():
        print(f"{name}: {tuple(factor.shape)}, norm {factor.norm().item():.6f}")
    Loss.backward()
    assert torch.allclose(dW1, W1.grad) and torch.allclose(o1.T @ dh2, W2.grad)
    W1, W2 = W1 - 0.1 * W1.grad, W2 - 0.1 * W2.grad  # a step against the gradient
    better = ((y - torch.softmax(torch.tanh(x @ W1) @ W2, dim=1)) ** 2).sum() / len(x)
    print("after one step", better.item())
    assert better.item() < Loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two small networks by hand, and their equations.")
    parser.add_argument("--out", type=Path, default=Path("graphs"), help="folder for the pages")
    folder = parser.parse_args().out
    on_paper(folder, with_bias=False)
    on_paper(folder, with_bias=True)
    classifier(folder)
