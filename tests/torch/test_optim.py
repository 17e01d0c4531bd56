"""Optimizers against PyTorch: the same losses over 50 steps, the same state, the same text."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule as cr  # noqa: E402

# The problems are tiny: threads would only wait for one another.
torch.set_num_threads(1)

CASES = [
    ("SGD", dict(lr=0.05)),
    ("SGD", dict(lr=0.05, momentum=0.9)),
    ("SGD", dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1)),
    ("SGD", dict(lr=0.01, momentum=0.8, dampening=0.5, maximize=True)),
    ("Adam", dict(lr=0.01)),
    ("Adam", dict(lr=0.01, amsgrad=True, weight_decay=0.1, betas=(0.5, 0.9))),
    ("Adam", dict(decoupled_weight_decay=True, weight_decay=0.1, maximize=True)),
    ("AdamW", dict(lr=0.01)),
    ("AdamW", dict(lr=0.01, betas=(0.6, 0.9), amsgrad=True, eps=1e-4)),
    ("Adamax", dict()),
    ("Adamax", dict(lr=0.05, weight_decay=0.1, maximize=True)),
    ("NAdam", dict()),
    ("NAdam", dict(weight_decay=0.1, decoupled_weight_decay=True, momentum_decay=0.1)),
    ("RAdam", dict(lr=0.01)),
    ("RAdam", dict(lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)),
    ("RMSprop", dict()),
    ("RMSprop", dict(lr=0.001, momentum=0.9, centered=True, weight_decay=0.1)),
    ("RMSprop", dict(alpha=0.5, eps=1e-3, maximize=True, lr=0.001)),
    ("Adagrad", dict()),
    ("Adagrad", dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5)),
    ("Adadelta", dict()),
    ("Adadelta", dict(lr=0.5, rho=0.5, weight_decay=0.1, maximize=True)),
]
LBFGS_CASES = [
    dict(max_iter=5),
    dict(max_iter=5, history_size=3, lr=0.5),
    dict(max_iter=6, line_search_fn="strong_wolfe"),
    dict(max_iter=4, history_size=2, line_search_fn="strong_wolfe", lr=3),
    dict(max_eval=3, line_search_fn="strong_wolfe"),
    dict(max_iter=4, line_search_fn="strong_wolfe", lr=0.01),  # starts far before the minimum
    dict(max_iter=9, line_search_fn="strong_wolfe", lr=100),
]
IDS = [f"{name}-{'-'.join(options) or 'defaults'}" for name, options in CASES]


def numbers(*shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


def mlp(lib, dtype):
    """The parameters and the loss of a two-layer network on 20 examples."""
    shapes = [(5, 8), (8,), (8, 3), (3,)]
    made = [lib.tensor(numbers(*shape, seed=i) * 0.4) for i, shape in enumerate(shapes)]
    parameters = [p.to(getattr(lib, dtype)).requires_grad_() for p in made]
    x = lib.tensor(numbers(20, 5, seed=8)).to(getattr(lib, dtype))
    y = lib.tensor(numbers(20, 3, seed=9)).to(getattr(lib, dtype))

    def loss():
        w1, b1, w2, b2 = parameters
        return ((((x @ w1 + b1).tanh() @ w2 + b2) - y) ** 2).mean()

    return parameters, loss


def quadratic(lib, dtype):
    """x^T A x / 2 - b^T x, with condition number 100."""
    x = lib.tensor(numbers(6, seed=1)).to(getattr(lib, dtype)).requires_grad_()
    a = lib.tensor(np.logspace(-1, 1, 6)).to(getattr(lib, dtype))
    b = lib.tensor(numbers(6, seed=2)).to(getattr(lib, dtype))
    return [x], lambda: 0.5 * (a * x * x).sum() - (b * x).sum()


def train(optimizer, loss, steps):
    """The losses that the closure of `steps` steps sees."""
    losses = []

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        losses.append(value.item())
        return value

    for _ in range(steps):
        optimizer.step(closure)
    return losses


def trained(lib, name, options, problem, dtype="float32", steps=50):
    parameters, loss = problem(lib, dtype)
    optimizer = getattr(lib.optim, name)(parameters, **options)
    return train(optimizer, loss, steps), optimizer, parameters


def plain(value):
    """State with lists in place of tensors, to compare across libraries."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def as_library(value, lib):
    """The same state with tensors of the other library."""
    if isinstance(value, dict):
        return {key: as_library(item, lib) for key, item in value.items()}
    if isinstance(value, list):
        return [as_library(item, lib) for item in value]
    return lib.tensor(value.numpy()) if hasattr(value, "numpy") else value


def flat(value):
    if isinstance(value, dict):
        return [x for key in value for x in flat(value[key])]
    if isinstance(value, list | tuple):
        return [x for item in value for x in flat(item)]
    return [value]


@pytest.mark.parametrize("problem", [mlp, quadratic])
@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_fifty_steps_give_pytorchs_losses_and_state(name, options, problem):
    ours, our_optimizer, _ = trained(cr, name, options, problem)
    theirs, their_optimizer, _ = trained(torch, name, options, problem)
    np.testing.assert_allclose(ours, theirs, rtol=5e-6, atol=1e-6)
    our_state, their_state = plain(our_optimizer.state_dict()), plain(their_optimizer.state_dict())
    assert our_state["param_groups"] == their_state["param_groups"]
    assert flat_keys(our_state) == flat_keys(their_state)
    np.testing.assert_allclose(
        flat(our_state["state"]), flat(their_state["state"]), rtol=1e-3, atol=1e-5
    )


def flat_keys(value):
    return {key: flat_keys(item) for key, item in value.items()} if isinstance(value, dict) else 0


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_float64_losses_agree_to_rounding(name, options):
    ours, *_ = trained(cr, name, options, mlp, "float64", steps=20)
    theirs, *_ = trained(torch, name, options, mlp, "float64", steps=20)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("problem", [mlp, quadratic])
@pytest.mark.parametrize("options", LBFGS_CASES, ids=lambda options: "-".join(options))
def test_lbfgs_makes_pytorchs_steps(options, problem):
    ours, our_optimizer, _ = trained(cr, "LBFGS", options, problem, "float64", steps=4)
    theirs, their_optimizer, _ = trained(torch, "LBFGS", options, problem, "float64", steps=4)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    ours, theirs = our_optimizer.state_dict(), their_optimizer.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    theirs["state"][0].pop("al", None)
    assert set(ours["state"][0]) == set(theirs["state"][0])
    assert ours["state"][0]["func_evals"] == theirs["state"][0]["func_evals"]
    assert ours["state"][0]["n_iter"] == theirs["state"][0]["n_iter"]


def test_lbfgs_follows_pytorch_in_float32():
    options = dict(max_iter=4, line_search_fn="strong_wolfe")
    ours, *_ = trained(cr, "LBFGS", options, mlp, steps=3)
    theirs, *_ = trained(torch, "LBFGS", options, mlp, steps=3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_state_of_pytorch_continues_here_and_back(name, options):
    before, their_optimizer, their_parameters = trained(torch, name, options, mlp, steps=5)
    parameters, loss = mlp(cr, "float32")
    for ours, theirs in zip(parameters, their_parameters, strict=True):
        ours.data = cr.tensor(theirs.detach().numpy())
    optimizer = getattr(cr.optim, name)(parameters)
    optimizer.load_state_dict(as_library(their_optimizer.state_dict(), cr))
    continued = train(optimizer, loss, 5)

    back, their_loss = mlp(torch, "float32")
    for theirs, ours in zip(back, parameters, strict=True):
        theirs.data = torch.tensor(ours.detach().numpy())
    returned = getattr(torch.optim, name)(back)
    returned.load_state_dict(as_library(optimizer.state_dict(), torch))
    last = train(returned, their_loss, 5)

    expected, *_ = trained(torch, name, options, mlp, steps=15)
    np.testing.assert_allclose(before + continued + last, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta",
                                  "Adamax", "NAdam", "RAdam", "LBFGS"])  # fmt: skip
def test_signatures_defaults_and_text_are_pytorchs(name):
    import inspect

    ours, theirs = (
        inspect.signature(getattr(lib.optim, name)).parameters for lib in (cr, torch)
    )
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]
    assert [p.kind for p in ours.values()] == [p.kind for p in theirs.values()]
    texts = [
        repr(getattr(lib.optim, name)([lib.ones(1, requires_grad=True)])) for lib in (cr, torch)
    ]
    assert texts[0] == texts[1]


def grouped(lib, name, **options):
    parameters, loss = mlp(lib, "float32")
    w1, b1, w2, b2 = parameters
    optimizer = getattr(lib.optim, name)(
        [{"params": [w1, w2], "weight_decay": 0.1, "lr": 0.02}, {"params": [b1]}], **options
    )
    losses = train(optimizer, loss, 5)
    optimizer.add_param_group({"params": b2, "lr": 0.1})
    return losses + train(optimizer, loss, 10), optimizer


@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSprop", "Adagrad"])
def test_groups_have_options_of_their_own(name):
    ours, our_optimizer = grouped(cr, name, lr=0.01)
    theirs, their_optimizer = grouped(torch, name, lr=0.01)
    np.testing.assert_allclose(ours, theirs, rtol=5e-6)
    assert repr(our_optimizer) == repr(their_optimizer)


def test_named_parameters_are_kept_in_the_state():
    dicts = []
    for lib in (cr, torch):
        w, b = lib.ones(2, requires_grad=True), lib.ones(1, requires_grad=True)
        optimizer = lib.optim.SGD([("w", w), ("b", b)], lr=0.1, momentum=0.9)
        (w.sum() * b).sum().backward()
        optimizer.step()
        dicts.append(plain(optimizer.state_dict()))
    assert dicts[0] == dicts[1]


def test_a_tensor_as_the_learning_rate():
    losses = []
    for lib in (cr, torch):
        parameters, loss = mlp(lib, "float32")
        optimizer = lib.optim.Adam(parameters, lr=lib.tensor(0.01))
        schedule = lib.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
        losses.append([])
        for _ in range(8):
            losses[-1] += train(optimizer, loss, 1)
            schedule.step()
    np.testing.assert_allclose(losses[0], losses[1], rtol=5e-6)


def test_parameters_without_a_grad_and_changing_grads():
    results = []
    for lib in (cr, torch):
        used, unused = lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)
        optimizer = lib.optim.Adam([used, unused], lr=0.1)
        for i in range(6):
            optimizer.zero_grad(set_to_none=i % 2 == 0)
            (used if i < 3 else unused).pow(2).sum().backward()
            optimizer.step()
        results.append(plain([used.detach(), unused.detach(), optimizer.state_dict()["state"]]))
    np.testing.assert_allclose(flat(results[0]), flat(results[1]), rtol=1e-6)


@pytest.mark.parametrize("dtype, tolerance", [("float16", 2e-2), ("bfloat16", 1e-1)])
@pytest.mark.parametrize(
    "name, options", [("SGD", dict(lr=0.1, momentum=0.9)), ("Adam", dict(lr=0.1, eps=1e-4))]
)
def test_half_precision_parameters(name, options, dtype, tolerance):
    ends = []
    for lib in (cr, torch):
        _, _, parameters = trained(lib, name, options, quadratic, dtype, steps=5)
        assert parameters[0].dtype == getattr(lib, dtype)
        ends.append(parameters[0].detach().float().tolist())
    np.testing.assert_allclose(ends[0], ends[1], rtol=tolerance, atol=tolerance)
