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


class Calls(Log):
    needs_recording = False

    def calling(self, compiled):
        self.seen.append(("calling", compiled.__name__))

    def called(self, call):
        self.seen.append(("called", call[1].shape))


def test_compiled_steps_stay_compiled_for_who_can_do_without_recording():
    net = torch.nn.Linear(3, 2)
    step = torch.compile(step_of(net, torch.optim.SGD(net.parameters(), lr=0.01)))
    log = Calls()
    with observed(log):
        for _ in range(5):
            step(torch.ones(1, 3))
    inside = ["zeroed", "backward", "passed", "stepping", "stepped"]
    assert [event for event, _ in log.seen] == [
        "calling", *inside, "called", *4 * ["calling", "called"]]
    assert log.seen[-1] == ("called", ()) and len(step._replays) == 1


def test_looking_on_changes_no_bit_of_a_compiled_step():
    def losses(watched):
        torch.manual_seed(0)
        net = torch.nn.Linear(8, 1)
        step = torch.compile(step_of(net, torch.optim.Adam(net.parameters(), lr=0.01)))
        x = torch.randn(40, 8)
        with observed(*[Calls()] * watched):
            found = [step(x[i : i + 8]).item().hex() for i in (0, 8, 16, 24, 0, 8, 16, 24)]
        return found, net.weight.tolist()

    losses(0)  # from here on every graph has been seen before
    assert losses(0) == losses(1)
