"""Observers are told what a training step does, in order, and change nothing."""

import chainrule as torch
from chainrule.observers import Observer, observed, observers


class Log(Observer):
    def __init__(self):
        self.seen = []

    def backward(self, tensors):
        self.seen.append(("backward", tensors[0].node.inputs != ()))

    def passed(self, tensors):
        self.seen.append(("passed", tensors[0].shape))

    def zeroed(self, owner):
        self.seen.append(("zeroed", type(owner).__name__))

    def stepping(self, optimizer):
        self.seen.append(("stepping", type(optimizer).__name__))

    def stepped(self, optimizer):
        self.seen.append(("stepped", type(optimizer).__name__))


def step_of(net, optimizer):
    def step(x):
        optimizer.zero_grad()
        loss = net(x).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_a_step_is_told_in_order():
    net = torch.nn.Linear(3, 2)
    step = step_of(net, torch.optim.SGD(net.parameters(), lr=0.1))
    log = Log()
    with observed(log):
        step(torch.ones(1, 3))
        net.zero_grad()
    step(torch.ones(1, 3))
    assert log.seen == [
        ("zeroed", "SGD"), ("backward", True), ("passed", ()), ("stepping", "SGD"),
        ("stepped", "SGD"), ("zeroed", "Linear")]
    assert observers == []


def test_compiled_steps_are_told_too():
    net = torch.nn.Linear(3, 2)
    step = torch.compile(step_of(net, torch.optim.SGD(net.parameters(), lr=0.01)))
    for _ in range(5):
        step(torch.ones(1, 3))
    log = Log()
    with observed(log):
        step(torch.ones(1, 3))
    assert [event for event, _ in log.seen] == [
        "zeroed", "backward", "passed", "stepping", "stepped"]
