"""Five digits through a network of two layers, and what every layer holds afterwards.

    a1 = sigmoid(W1 x + b1)    x: 784 pixels, a1: 500
    a2 = sigmoid(W2 a1 + b2)   a2: 10, one for each digit
    loss = cross_entropy(a2, y), the mean over a batch of 5

    SGD with momentum:   v <- 0.9 v + dloss/dW,   W <- W - 0.01 v

Without --data the images are random numbers.  With --data, the folder of the four MNIST files,
they are the first image of each of the digits 0 to 4.

Two things in this script are there to be noticed.  It never zeroes the gradients, so the second
step moves along the sum of two gradients; and its last sigmoid keeps every a2 between 0 and 1, so
the loss can never fall below log(1 + 9/e) = 1.461.  The linter notices both, and says so on the
page of the last step.
"""

import argparse
import math
from pathlib import Path

import chainrule as torch
from chainrule import nn
from chainrule.data import MNIST


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784, 500), nn.Sigmoid(), nn.Linear(500, 10), nn.Sigmoid()
        )

    def forward(self, x):
        return self.layers(x.flatten(1))  # (5, 784) -> (5, 10)


def images_and_labels(folder):
    """Five images (5, 1, 28, 28) between 0 and 1, and their labels (5,)."""
    if folder is None:
        return torch.rand(5, 1, 28, 28), torch.arange(5)
    digits = MNIST(folder)
    first = [digits.labels.tolist().index(digit) for digit in range(5)]
    return digits[first]


def norm(tensor):
    return f"{tensor.norm().item():9.5f}"


def main():
    parser = argparse.ArgumentParser(description="Five digits, two layers, every buffer.")
    parser.add_argument("--data", type=Path, help="folder of the MNIST files (.gz)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the pictures")
    given = parser.parse_args()

    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    net = Net().to(device)
    images, labels = (t.to(device) for t in images_and_labels(given.data))
    criterion = nn.CrossEntropyLoss(reduction="mean")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    loss = criterion(net(images), labels)
    torch.draw(loss, given.out / "digits5.svg", title="Five digits, one step")

    with torch.lint.watch() as findings:
        for _ in range(2):
            outputs = net(images)
            loss = criterion(outputs, labels)
            page = torch.snapshot(loss, title="Five digits, the last step", findings=findings)
            loss.backward()
            optimizer.step()
            print("\n loss ", loss)
    print(f"\n{findings}")
    page.save(given.out / "digits5.html")

    floor = math.log(1 + 9 / math.e)
    print(f"\nthe loss cannot fall below {floor:.6f}, because of the last sigmoid\n")
    print("parameter         shape         |value|  |gradient|  |momentum|")
    for name, parameter in net.named_parameters():
        momentum = optimizer.state[parameter]["momentum_buffer"]
        shape = str(tuple(parameter.shape))
        print(f"{name:<16} {shape:<11}", norm(parameter), norm(parameter.grad), norm(momentum))
    print("\nThe graph of one step, drawn:", given.out / "digits5.svg")
    print("The last step, as a page:    ", given.out / "digits5.html")


if __name__ == "__main__":
    main()
