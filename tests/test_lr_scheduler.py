"""Schedules: closed forms, order of calls, saving, and every refusal."""

import math

import pytest

import chainrule as torch
from chainrule.optim import SGD, Adagrad, Adam
from chainrule.optim import lr_scheduler as s


def sgd(lr=1.0, groups=1, **options):
    return SGD(
        [{"params": [torch.ones(1, requires_grad=True)]} for _ in range(groups)], lr=lr, **options
    )


def rates(schedule, steps):
    """The rate at t = 0 .. steps."""
    found = [schedule.get_last_lr()[0]]
    for _ in range(steps):
        schedule.optimizer.step()
        schedule.step()
        found.append(schedule.get_last_lr()[0])
    return found


FORMULAS = [
    (lambda o: s.StepLR(o, 3, 0.5), lambda t: 0.5 ** (t // 3)),
    (lambda o: s.MultiStepLR(o, [2, 5], 0.5), lambda t: 0.5 ** ((t >= 2) + (t >= 5))),
    (lambda o: s.ConstantLR(o, 0.25, 4), lambda t: 0.25 if t < 4 else 1.0),
    (lambda o: s.LinearLR(o, 0.5, 1.0, 4), lambda t: 0.5 + 0.5 * min(t, 4) / 4),
    (lambda o: s.ExponentialLR(o, 0.9), lambda t: 0.9**t),
    (lambda o: s.PolynomialLR(o, 8, 2.0), lambda t: (1 - min(t, 8) / 8) ** 2),
    (lambda o: s.CosineAnnealingLR(o, 6, 0.1),
     lambda t: 0.1 + 0.9 * (1 + math.cos(math.pi * t / 6)) / 2),
    (lambda o: s.CosineAnnealingWarmRestarts(o, 4),
     lambda t: (1 + math.cos(math.pi * (t % 4) / 4)) / 2),
    (lambda o: s.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: 1 / (1 + t)),
    (lambda o: s.MultiplicativeLR(o, lambda t: 0.8), lambda t: 0.8**t),
    (lambda o: s.CyclicLR(o, 0.0, 1.0, 5, cycle_momentum=False),
     lambda t: min(t % 10, 10 - t % 10) / 5),
]  # fmt: skip


@pytest.mark.parametrize("make, formula", FORMULAS)
def test_the_recurrence_is_the_closed_form(make, formula):
    expected = [formula(t) for t in range(15)]
    assert rates(make(sgd()), 14) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_every_restart_begins_at_the_full_rate_when_its_epoch_is_given():
    schedule = s.CosineAnnealingWarmRestarts(sgd(), 1, T_mult=3)
    for i in range(10):
        schedule.step((3**i - 1) // 2)  # 1 + 3 + ... + 3^(i-1)
        assert schedule.get_last_lr() == [1.0] and schedule.T_i == 3**i
    schedule.step(2.5)
    assert schedule.get_last_lr()[0] == pytest.approx((1 + math.cos(math.pi * 1.5 / 3)) / 2)


@pytest.mark.parametrize("make, formula", FORMULAS)
def test_saved_in_the_middle(make, formula):
    schedule = make(sgd())
    rates(schedule, 6)
    optimizer = sgd()
    loaded = make(optimizer)
    loaded.load_state_dict(schedule.state_dict())
    optimizer.load_state_dict(schedule.optimizer.state_dict())
    expected = [formula(t) for t in range(6, 12)]
    assert rates(loaded, 5) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_one_cycle_moves_the_momentum_against_the_rate():
    optimizer = sgd(momentum=0.9)
    schedule = s.OneCycleLR(optimizer, 1.0, total_steps=12, pct_start=0.5)
    seen = []
    for _ in range(11):
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    assert seen[0] == pytest.approx((0.04, 0.95))
    assert max(seen)[0] == 1.0 and max(seen)[1] == min(momentum for _, momentum in seen)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.04 / 1e4)
    adam = Adam([torch.ones(1, requires_grad=True)])
    s.OneCycleLR(adam, 1.0, total_steps=9)
    assert adam.param_groups[0]["betas"] == (0.95, 0.999)


def test_one_cycle_with_no_time_to_rise():
    assert s.OneCycleLR(sgd(momentum=0.9), 1.0, 10, pct_start=0.1).get_last_lr() == [1.0]


def test_a_rate_set_by_hand_is_respected():
    schedule = s.ExponentialLR(sgd(), 0.5)
    rates(schedule, 2)
    schedule.optimizer.param_groups[0]["lr"] = 8.0
    assert rates(schedule, 1)[-1] == 4.0


def test_the_rate_reaches_the_update():
    w = torch.tensor([0.0], requires_grad=True)
    optimizer = SGD([w], lr=1.0)
    schedule = s.StepLR(optimizer, 1, 0.5)
    for _ in range(3):
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()
        schedule.step()
    assert w.item() == -1.75


def test_a_callable_object_is_saved():
    class Fade:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, t):
            return self.factor**t

    schedule = s.LambdaLR(sgd(groups=2), [Fade(0.5), lambda t: 1.0])
    assert schedule.state_dict()["lr_lambdas"] == [{"factor": 0.5}, None]
    loaded = s.LambdaLR(sgd(groups=2), [Fade(0.9), lambda t: 1.0])
    loaded.load_state_dict(schedule.state_dict())
    assert rates(loaded, 1)[-1] == 0.5
    cyclic = s.CyclicLR(sgd(), 0.0, 1.0, 2, scale_fn=Fade(0.5), cycle_momentum=False)
    other = s.CyclicLR(sgd(), 0.0, 1.0, 2, scale_fn=Fade(0.9), cycle_momentum=False)
    other.load_state_dict(cyclic.state_dict())
    assert other.scale_fn(1) == 0.5


def test_a_tensor_rate_is_filled_in_place():
    rate = torch.tensor(1.0)
    schedule = s.ExponentialLR(sgd(lr=rate), 0.5)
    found = rates(schedule, 2)
    assert [value.item() for value in found] == [1.0, 0.5, 0.25]
    assert schedule.optimizer.param_groups[0]["lr"] is rate


def test_plateau():
    schedule = s.ReduceLROnPlateau(sgd(), factor=0.5, patience=1, cooldown=1, min_lr=0.2)
    found = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        schedule.step(torch.tensor(loss))
        found.append(schedule.get_last_lr()[0])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2]
    schedule.step(float("nan"))
    assert schedule.best == 2.0


def test_step_before_the_optimizers_is_warned_of():
    schedule = s.StepLR(sgd(), 2)
    with pytest.warns(UserWarning, match="called before optimizer.step()"):
        schedule.step()


class Bare(s.LRScheduler):
    pass




def grown():
    schedule = s.ReduceLROnPlateau(sgd(), patience=0, min_lr=[0.0])
    schedule.optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)]})
    schedule.step(1.0)
    schedule.step(1.0)


one, other = sgd(momentum=0.9), sgd()
plateau = s.ReduceLROnPlateau(one)
NUMBER_OF_STEPS = "OneCycleLR requires total_steps, or epochs and steps_per_epoch, got epochs=3"
REFUSED = [
    (lambda: s.StepLR("sgd", 3), TypeError, "StepLR requires an Optimizer, got str"),
    (lambda: s.CyclicLR(3, 0.1, 1.0), TypeError, "CyclicLR requires an Optimizer, got int"),
    (lambda: s.StepLR(sgd(), 3, last_epoch=2), KeyError,
     "StepLR requires 'initial_lr' in every parameter group when last_epoch is not -1, got none"),
    (lambda: Bare(sgd()), NotImplementedError,
     "get_lr requires a schedule that defines it, got Bare"),
    (lambda: s.LambdaLR(one, [math.sqrt] * 2), ValueError,
     "LambdaLR requires one lr_lambda for each of 1 parameter groups, got 2"),
    (lambda: s.MultiplicativeLR(one, 3), TypeError, "lr_lambda to be a function, got int"),
    (lambda: s.ConstantLR(one, factor=2.0), ValueError, "0 <= factor <= 1, got 2.0"),
    (lambda: s.LinearLR(one, 0.0), ValueError, "0 < start_factor <= 1, got 0.0"),
    (lambda: s.LinearLR(one, 0.5, 2.0), ValueError, "0 <= end_factor <= 1, got 2.0"),
    (lambda: s.CosineAnnealingWarmRestarts(one, 0), ValueError, "T_0 to be a positive int, got 0"),
    (lambda: s.CosineAnnealingWarmRestarts(one, 2, 1.5), ValueError, "T_mult to be a positive int"),
    (lambda: s.CosineAnnealingWarmRestarts(one, 2).step(-1), ValueError, "epoch >= 0, got -1"),
    (lambda: s.OneCycleLR(one, 1.0), ValueError, "or epochs and steps_per_epoch, got epochs=None"),
    (lambda: s.OneCycleLR(one, 1.0, epochs=3), ValueError, NUMBER_OF_STEPS),
    (lambda: s.OneCycleLR(one, 1.0, 0), ValueError, "total_steps to be a positive int, got 0"),
    (lambda: s.OneCycleLR(one, 1.0, 9, pct_start=2.0), ValueError, "0 <= pct_start <= 1, got 2.0"),
    (lambda: s.OneCycleLR(one, 1.0, 9, anneal_strategy="x"), ValueError, "'linear', got 'x'"),
    (lambda: s.OneCycleLR(Adagrad([torch.ones(1, requires_grad=True)]), 1.0, 9), ValueError,
     "OneCycleLR requires an optimizer with momentum or betas, got Adagrad"),
    (lambda: rates(s.OneCycleLR(sgd(momentum=0.9), 1.0, 3), 4), ValueError,
     "OneCycleLR requires at most total_steps = 3 calls of step(), got call 4"),
    (lambda: s.CyclicLR(one, 0.1, 1.0, mode="x"), ValueError, "or a scale_fn, got mode 'x'"),
    (lambda: s.CyclicLR(one, [0.1, 0.2], 1.0), ValueError, "one base_lr for each of 1"),
    (lambda: s.SequentialLR(one, [], []), ValueError, "got 0 schedulers and 0 milestones"),
    (lambda: s.SequentialLR(one, [s.StepLR(one, 3)], [2]), ValueError, "got 1 schedulers and 1"),
    (lambda: s.SequentialLR(one, [s.StepLR(other, 3)], []), ValueError, "another one's at index 0"),
    (lambda: s.SequentialLR(one, [plateau], []), ValueError, "got ReduceLROnPlateau at index 0"),
    (lambda: s.ChainedScheduler([]), ValueError, "at least one scheduler, got none"),
    (lambda: s.ChainedScheduler([s.StepLR(one, 2), 3]), TypeError, "got int at index 1"),
    (lambda: s.ReduceLROnPlateau(one, factor=1.0), ValueError, "requires factor < 1, got 1.0"),
    (lambda: s.ReduceLROnPlateau(one, mode="x"), ValueError, "requires mode in"),
    (lambda: s.ReduceLROnPlateau(one, threshold_mode="x"), ValueError, "requires threshold_mode"),
    (lambda: s.ReduceLROnPlateau(one, min_lr=[1, 2]), ValueError, "one min_lr for each of 1"),
    (grown, RuntimeError, "one min_lr for each of 2 parameter groups, got 1"),
]  # fmt: skip


@pytest.mark.parametrize("make, error, text", REFUSED)
def test_refusals(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)
