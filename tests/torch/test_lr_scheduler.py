"""Learning-rate schedules against PyTorch: the same numbers, also after saving and loading."""

import math
import random
import warnings

import pytest

torch = pytest.importorskip("torch")

import chainrule as cr  # noqa: E402

SCHEDULES = [
    ("StepLR", (3,), {}),
    ("StepLR", (2, 0.7), {}),
    ("MultiStepLR", ([2, 5, 5, 9],), {}),
    ("ConstantLR", (), {}),
    ("ConstantLR", (0.5, 3), {}),
    ("LinearLR", (), {}),
    ("LinearLR", (0.2, 0.8, 7), {}),
    ("ExponentialLR", (0.9,), {}),
    ("PolynomialLR", (), {}),
    ("PolynomialLR", (9, 2.0), {}),
    ("CosineAnnealingLR", (5,), {}),
    ("CosineAnnealingLR", (7, 0.001), {}),
    ("CosineAnnealingWarmRestarts", (3,), {}),
    ("CosineAnnealingWarmRestarts", (2, 2, 0.01), {}),
    ("LambdaLR", (lambda t: 0.95**t,), {}),
    ("LambdaLR", ([lambda t: 0.95**t, lambda t: t // 3],), {}),
    ("MultiplicativeLR", (lambda t: 0.9 + 0.001 * t,), {}),
    ("OneCycleLR", (1.0, 30), {}),
    ("OneCycleLR", (1.0, 40), dict(three_phase=True, pct_start=0.4)),
    ("OneCycleLR", ([1.0, 0.2],), dict(epochs=3, steps_per_epoch=10, anneal_strategy="linear",
                                       three_phase=True, cycle_momentum=False)),
    ("CyclicLR", (0.01, 0.1, 4), {}),
    ("CyclicLR", (0.01, 0.1, 4, 7), dict(mode="triangular2")),
    ("CyclicLR", (0.01, 0.1, 3), dict(mode="exp_range", gamma=0.98)),
    ("CyclicLR", (0.01, [0.1, 0.2], 3), dict(scale_fn=lambda x: 0.9**x, cycle_momentum=False,
                                             scale_mode="iterations")),
]  # fmt: skip
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(SCHEDULES)]


def new_optimizer(lib, name="SGD"):
    a, b = lib.ones(1, requires_grad=True), lib.ones(1, requires_grad=True)
    options = dict(momentum=0.9) if name == "SGD" else {}
    return getattr(lib.optim, name)(
        [dict(params=[a], lr=0.5), dict(params=[b], lr=0.02)], lr=0.1, **options
    )


def trace(lib, make, optimizer_name="SGD", steps=25, reload_at=None):
    """Rates, momenta and counts of every step, and the last state; saved and loaded half-way."""
    optimizer = new_optimizer(lib, optimizer_name)
    schedule, rows = make(lib, optimizer), []
    for i in range(steps):
        for group in optimizer.param_groups:
            rows += [group["lr"], group.get("momentum", group.get("betas"))]
        rows += [*schedule.get_last_lr(), getattr(schedule, "last_epoch", -1)]
        optimizer.step()
        schedule.step()
        if i == reload_at:
            states = schedule.state_dict(), optimizer.state_dict()
            optimizer = new_optimizer(lib, optimizer_name)
            schedule = make(lib, optimizer)
            schedule.load_state_dict(states[0])
            optimizer.load_state_dict(states[1])
    return rows, schedule.state_dict(), optimizer


def assert_same(make, **options):
    ours, our_state, our_optimizer = trace(cr, make, **options)
    theirs, their_state, their_optimizer = trace(torch, make, **options)
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-12, abs=1e-15)
    for ours, theirs in zip(our_optimizer.param_groups, their_optimizer.param_groups, strict=True):
        assert {**ours, "params": 0} == {**theirs, "params": 0}
    return our_state, their_state


@pytest.mark.parametrize("optimizer_name", ["SGD", "Adam"])
@pytest.mark.parametrize("name, args, options", SCHEDULES, ids=IDS)
def test_the_same_rates(name, args, options, optimizer_name):
    def make(lib, optimizer):
        return getattr(lib.optim.lr_scheduler, name)(optimizer, *args, **options)

    ours, theirs = assert_same(make, optimizer_name=optimizer_name)
    assert set(theirs) - {"_get_lr_called_within_step"} <= set(ours)
    assert_same(make, optimizer_name=optimizer_name, reload_at=12)


@pytest.mark.parametrize("name, args, options", SCHEDULES, ids=IDS)
def test_the_same_rates_at_a_given_epoch(name, args, options):
    schedules = [
        getattr(lib.optim.lr_scheduler, name)(new_optimizer(lib), *args, **options)
        for lib in (cr, torch)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in (0, 3, 7, 2, 5):
            for schedule in schedules:
                schedule.step(epoch)
            ours, theirs = (schedule.get_last_lr() for schedule in schedules)
            assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)


def sequence(lib, optimizer):
    s = lib.optim.lr_scheduler
    parts = [
        s.LinearLR(optimizer, 0.1, 1.0, 4),
        s.CosineAnnealingLR(optimizer, 8),
        s.ExponentialLR(optimizer, 0.9),
    ]
    return s.SequentialLR(optimizer, parts, [4, 13])


def chain(lib, optimizer):
    s = lib.optim.lr_scheduler
    return s.ChainedScheduler(
        [s.LinearLR(optimizer), s.ExponentialLR(optimizer, 0.9), s.StepLR(optimizer, 4)]
    )


def sequence_of_chain(lib, optimizer):
    s = lib.optim.lr_scheduler
    first = s.ChainedScheduler([s.ConstantLR(optimizer, 0.5, 2), s.ExponentialLR(optimizer, 0.9)])
    return s.SequentialLR(optimizer, [first, s.StepLR(optimizer, 2)], [5])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [sequence, chain, sequence_of_chain])
def test_combined_schedules(make):
    ours, theirs = assert_same(make)
    assert set(ours) == set(theirs)
    assert_same(make, reload_at=8)


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(mode="max", patience=1),
        dict(threshold_mode="abs", threshold=0.05, patience=2, cooldown=2),
        dict(min_lr=[0.1, 0.001], factor=0.5, patience=0),
        dict(mode="max", threshold_mode="abs", patience=0, eps=1e-3),
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
def test_plateau(options):
    traces = []
    for lib in (cr, torch):
        chance, optimizer = random.Random(0), new_optimizer(lib)
        schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        rows = []
        for i in range(60):
            loss = chance.random() + 1 / (i + 1)
            schedule.step(lib.tensor(loss, dtype=lib.float64) if i % 2 else loss)
            rows.append([group["lr"] for group in optimizer.param_groups] + schedule.get_last_lr())
        traces.append((rows, schedule.state_dict()))
    assert traces[0] == traces[1]


def test_resuming_with_last_epoch():
    for name, args in (("StepLR", (3,)), ("CosineAnnealingLR", (9,)), ("ExponentialLR", (0.9,)),
                       ("LinearLR", ()), ("PolynomialLR", (9,))):  # fmt: skip
        rates = []
        for lib in (cr, torch):
            optimizer = new_optimizer(lib)
            for group in optimizer.param_groups:
                group["initial_lr"] = 1.0
            schedule = getattr(lib.optim.lr_scheduler, name)(optimizer, *args, last_epoch=3)
            rates.append([schedule.get_last_lr()])
            for _ in range(4):
                optimizer.step()
                schedule.step()
                rates[-1].append(schedule.get_last_lr())
        for ours, theirs in zip(*rates, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-12)


def test_signatures_are_pytorchs():
    import inspect

    for name in cr.optim.lr_scheduler.__all__:
        ours, theirs = (
            inspect.signature(getattr(lib.optim.lr_scheduler, name)).parameters
            for lib in (cr, torch)
        )
        assert list(ours) == list(theirs), name
        for key in ours:
            assert ours[key].default == theirs[key].default, (name, key)
    assert math.isinf(cr.optim.lr_scheduler.ReduceLROnPlateau(new_optimizer(cr)).best)
