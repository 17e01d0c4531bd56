"""MNIST by convolution: the same small filters look at every place of the image.

    c1 = relu(K1 * x + b1)        (B, 1, 28, 28) -> (B, 8, 26, 26)    K1: 8 filters of 3 x 3
    p1 = max over 2 x 2           (B, 8, 26, 26) -> (B, 8, 13, 13)
    c2 = relu(K2 * p1 + b2)       (B, 8, 13, 13) -> (B, 16, 11, 11)   K2: 16 filters of 8 x 3 x 3
    p2 = max over 2 x 2           (B, 16, 11, 11) -> (B, 16, 5, 5)
    z  = W p2 + b                 (B, 400) -> (B, 10)

5,258 parameters, a fortieth of what mnist_mlp.py needs, and better: 98 % and more after three
epochs.  A convolution is a window movement followed by a contraction; its derivative is the
same two steps backward, so nobody had to derive it.
"""

from mnist_mlp import arguments, train

import chainrule as torch
from chainrule import nn


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 10),
    )


if __name__ == "__main__":
    given = arguments("MNIST by convolution.", epochs=3)
    torch.manual_seed(given.seed)
    train(network(), given, rate=0.01)
