"""Module and the containers: each scenario is run on chainrule and on PyTorch, and told alike."""

import copy
import warnings
from collections import OrderedDict

import pytest

import chainrule

torch = pytest.importorskip("torch")
SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def net(T):
    class Block(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = T.nn.Linear(2, 2)
            self.register_buffer("scale", T.ones(2))
            self.register_buffer("cache", T.zeros(1), persistent=False)

        def forward(self, x):
            return self.fc(x) * self.scale

    class Net(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = T.nn.Parameter(T.arange(2.0))
            self.first = Block()
            self.norm = T.nn.BatchNorm1d(2)
            self.blocks = T.nn.ModuleList([Block(), T.nn.ReLU()])
            self.again = self.first
            self.none = None
            self.register_parameter("absent", None)

        def forward(self, x):
            return self.blocks[1](self.blocks[0](self.norm(self.first(x)))) + self.w

    T.manual_seed(0)
    return Net()


def names(pairs):
    return [name for name, _ in pairs]


def caught(call):
    try:
        call()
    except Exception as error:
        kinds = (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError)
        return frozenset(k.__name__ for k in kinds if isinstance(error, k))
    return frozenset()


def alike(ours, theirs):
    """Equal; an error of ours may be of more types than PyTorch's."""
    if isinstance(theirs, frozenset):
        return theirs <= ours and bool(theirs) == bool(ours)
    if isinstance(theirs, tuple):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    return ours == theirs


@scenario
def iteration(T):
    m = net(T)
    yield repr(m)
    yield names(m.named_parameters())
    yield names(m.named_parameters(prefix="p", recurse=False))
    yield names(m.named_parameters(remove_duplicate=False))
    yield names(m.named_buffers())
    yield names(m.named_modules())
    yield names(m.named_modules(remove_duplicate=False))
    yield names(m.named_modules(prefix="root"))
    yield names(m.named_children())
    yield [type(c).__name__ for c in m.children()]
    yield len(list(m.modules())), len(list(m.parameters())), len(list(m.buffers()))
    yield list(m.state_dict()), list(m.state_dict(prefix="x.")), m.state_dict()._metadata
    yield type(m.state_dict()).__name__
    yield [p.requires_grad for p in m.state_dict().values()]
    yield [p.requires_grad for p in m.state_dict(keep_vars=True).values()]
    yield "w" in dir(m), "fc" in dir(m.first), "scale" in dir(m.first)


@scenario
def registration(T):
    m = net(T)
    m.first = None
    yield names(m.named_children()), repr(m)
    m.w = None
    yield names(m.named_parameters()), m.w
    m.extra = 3
    m.extra = T.nn.Linear(1, 1)
    yield "extra" in m.__dict__, names(m.named_children())
    m.extra = T.nn.Parameter(T.ones(1))
    yield names(m.named_children()), names(m.named_parameters(recurse=False))
    del m.extra
    yield hasattr(m, "extra")
    del m.norm
    yield hasattr(m, "norm"), list(m.state_dict())
    m.add_module("late", T.nn.ReLU())
    m.register_module("later", None)
    yield repr(m), m.later
    m.late = T.nn.Tanh()
    yield repr(m.late)
    m.buffer = T.nn.Buffer(T.ones(2))
    m.hidden = T.nn.Buffer(T.ones(2), persistent=False)
    yield names(m.named_buffers(recurse=False)), [k for k in m.state_dict() if "." not in k]
    m.buffer = T.zeros(3)
    yield m.buffer.tolist(), type(m.buffer).__name__
    m.buffer = None
    yield names(m.named_buffers(recurse=False))


@scenario
def refusals(T):
    m = net(T)

    class NoInit(T.nn.Module):
        def __init__(self, kind):
            if kind == "parameter":
                self.w = T.nn.Parameter(T.ones(1))
            elif kind == "module":
                self.m = T.nn.ReLU()
            elif kind == "buffer":
                self.register_buffer("b", T.ones(1))

    yield tuple(caught(lambda k=k: NoInit(k)) for k in ("parameter", "module", "buffer"))
    yield caught(lambda: setattr(m, "first", 5)), caught(lambda: setattr(m, "w", T.ones(2)))
    yield caught(lambda: setattr(m.norm, "running_mean", 5))
    yield caught(lambda: m.unknown), caught(lambda: delattr(m, "unknown"))
    yield caught(lambda: m.register_buffer("first", T.ones(1)))
    yield caught(lambda: m.register_buffer("a.b", T.ones(1)))
    yield caught(lambda: m.register_buffer("", T.ones(1)))
    yield caught(lambda: m.register_buffer(3, T.ones(1)))
    yield caught(lambda: m.register_buffer("b", 3))
    yield caught(lambda: m.register_parameter("first", None))
    yield caught(lambda: m.register_parameter("q", T.ones(1)))
    yield caught(lambda: m.register_parameter("q", T.nn.Parameter(T.ones(1)) * 2))
    yield caught(lambda: m.add_module("q", 3)), caught(lambda: m.add_module("training", m.first))
    yield caught(lambda: m.get_submodule("first.x")), caught(lambda: m.get_submodule("w"))
    yield caught(lambda: m.get_parameter("first.x")), caught(lambda: m.get_parameter("first.scale"))
    yield caught(lambda: m.get_buffer("w")), caught(lambda: m.get_buffer("first.nothing"))
    yield caught(lambda: m.train(3)), caught(lambda: T.nn.Module()(3))
    yield caught(lambda: m.to(T.int32)), caught(lambda: m.load_state_dict(5))
    yield caught(lambda: T.nn.ModuleList([3])), caught(lambda: T.nn.Sequential(3))
    yield caught(lambda: T.nn.ModuleList()[0]), caught(lambda: T.nn.ModuleDict({"a": 3}))
    yield caught(lambda: T.nn.ModuleDict()["a"]), caught(lambda: T.nn.ModuleDict(3))
    yield caught(lambda: T.nn.ParameterList()[0])


@scenario
def paths(T):
    m = net(T)
    yield m.get_submodule("") is m, repr(m.get_submodule("blocks.0.fc"))
    yield m.get_parameter("first.fc.bias") is m.first.fc.bias
    yield m.get_buffer("norm.running_var") is m.norm.running_var
    m.set_submodule("blocks.0.fc", T.nn.Linear(2, 1))
    yield repr(m.blocks)


@scenario
def modes(T):
    m = net(T)
    yield m.eval() is m, [x.training for x in m.modules()]
    yield m.train().training, m.first.train(False).training, m.training
    yield m.requires_grad_(False) is m, [p.requires_grad for p in m.parameters()]
    m.requires_grad_()
    m(T.ones(3, 2)).sum().backward()
    yield [p.grad is not None for p in m.parameters()]
    m.zero_grad(set_to_none=False)
    yield [None if p.grad is None else p.grad.abs().sum().item() for p in m.parameters()]
    m.zero_grad()
    yield [p.grad for p in m.parameters()]
    seen = []
    yield m.apply(lambda x: seen.append(type(x).__name__)) is m, seen


@scenario
def conversions(T):
    m = net(T)
    kinds = lambda: [str(v.dtype) for v in m.state_dict().values()]  # noqa: E731
    w = m.w
    for name in ("double", "half", "bfloat16", "float"):
        yield getattr(m, name)() is m, kinds()
    yield m.to(T.float64) is m, kinds(), m.w is w, isinstance(m.w, T.nn.Parameter)
    yield m.to("cpu") is m, m.to(T.device("cpu"), T.float32) is m, kinds()
    yield m.to(T.zeros(1, dtype=T.float64)) is m, kinds(), m.to(dtype=T.float32) is m, kinds()
    yield m.cpu() is m, m.w.requires_grad, m.w.is_leaf
    m.first.fc(T.ones(1, 2)).sum().backward()
    m.double()
    yield str(m.first.fc.weight.grad.dtype)
    yield m.type(T.float32) is m


@scenario
def copies(T):
    m = net(T)
    c = copy.deepcopy(m)
    yield c.first is c.again, c.w is not m.w, c.w.tolist(), c.w.requires_grad
    with T.no_grad():
        c.w.add_(1)
    yield m.w.tolist(), c.w.tolist(), repr(c) == repr(m)
    a, b = T.nn.Linear(2, 2), T.nn.Linear(2, 2)
    a.weight = b.weight
    tied = copy.deepcopy(T.nn.Sequential(a, b))
    yield tied[0].weight is tied[1].weight, names(tied.named_parameters()), list(tied.state_dict())


@scenario
def loading(T):
    m, other = net(T), net(T)
    with T.no_grad():
        other.w.add_(5)
    yield repr(m.load_state_dict(other.state_dict())), m.w.tolist()
    state = OrderedDict(other.state_dict())
    del state["first.fc.weight"], state["w"]
    state["unknown"] = T.ones(1)
    state["first.more"] = T.ones(1)
    state["nowhere.more"] = T.ones(1)
    result = m.load_state_dict(state, strict=False)
    yield repr(result), result.missing_keys, result.unexpected_keys
    missing, unexpected = result
    yield missing, unexpected
    state["norm.bias"] = T.ones(7)
    state["norm.weight"] = 3
    yield caught(lambda: m.load_state_dict(state)), caught(lambda: m.load_state_dict(state, False))
    one = T.nn.Module()
    one.w = T.nn.Parameter(T.tensor(1.0))
    one.load_state_dict({"w": T.tensor([4.0])})
    yield one.w.item()
    one.load_state_dict({"w": T.tensor(5, dtype=T.int64)})
    yield one.w.item(), str(one.w.dtype)
    new = T.tensor(7.0, dtype=T.float64)
    one.load_state_dict({"w": new}, assign=True)
    yield one.w.item(), str(one.w.dtype), isinstance(one.w, T.nn.Parameter), one.w.requires_grad


@scenario
def old_batch_norm_checkpoints(T):
    m = T.nn.BatchNorm1d(2)
    state = {k: v for k, v in m.state_dict().items() if k != "num_batches_tracked"}
    yield repr(m.load_state_dict(state))
    fresh = m.state_dict()
    del fresh["num_batches_tracked"]
    yield caught(lambda: m.load_state_dict(fresh))


@scenario
def state_hooks(T):
    m, log = net(T), []
    handles = [
        m.register_state_dict_pre_hook(lambda m, prefix, keep: log.append(("pre", prefix, keep))),
        m.first.register_state_dict_post_hook(
            lambda m, state, prefix, local: state.__setitem__(prefix + "more", T.ones(1))
        ),
        m.first.register_load_state_dict_pre_hook(
            lambda m, state, prefix, *rest: state.pop(prefix + "more")
        ),
        m.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear()),
    ]
    state = m.state_dict()
    yield log, list(state)
    del state["w"]
    state.pop("again.more")
    m.again = None
    for name in [k for k in state if k.startswith("again")]:
        del state[name]
    yield repr(m.load_state_dict(state))
    for handle in handles:
        handle.remove()
    yield list(m.state_dict())


@scenario
def extra_state(T):
    class Counter(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 3

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    m = T.nn.Sequential(Counter())
    state = m.state_dict()
    yield list(state), state["0._extra_state"]
    state["0._extra_state"] = {"n": 9}
    m.load_state_dict(state)
    yield m[0].n
    yield caught(lambda: m.load_state_dict({}))


@scenario
def custom_loading(T):
    class Renamed(T.nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *rest):
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "old")
            super()._load_from_state_dict(state_dict, prefix, *rest)

    m = T.nn.Sequential(Renamed(1, 1, bias=False))
    given = {"0.old": T.tensor([[3.0]])}
    yield repr(m.load_state_dict(given)), m[0].weight.item(), list(given)


@scenario
def forward_hooks(T):
    log = []
    m = T.nn.Identity()
    m.register_forward_pre_hook(lambda m, args: log.append("a") or (args[0] + 1,))
    m.register_forward_pre_hook(lambda m, args: log.append("b"), prepend=True)
    m.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {}) if kwargs else None, with_kwargs=True
    )
    m.register_forward_pre_hook(lambda m, args: args[0] * 1)
    handle = m.register_forward_hook(lambda m, args, out: log.append("c") or out * 10)
    m.register_forward_hook(lambda m, args, out: log.append("d"), prepend=True)
    m.register_forward_hook(
        lambda m, args, kwargs, out: log.append(sorted(kwargs)), with_kwargs=True
    )
    yield m(T.tensor(1.0)).item(), list(log)
    handle.remove()
    handle.remove()
    yield m(T.tensor(1.0)).item(), log
    m = T.nn.Linear(1, 1)
    with m.register_forward_hook(lambda m, args, out: T.zeros(1)):
        yield m(T.ones(1)).tolist()
    yield m(T.ones(1)).shape == (1,)


@scenario
def hooks_that_are_always_called(T):
    class Broken(T.nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    m, log = Broken(), []
    m.register_forward_hook(lambda m, args, out: log.append(("always", out)), always_call=True)
    m.register_forward_hook(lambda m, args, out: log.append("not"))
    yield caught(lambda: m(1)), log
    m.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    yield caught(lambda: m(1))


@scenario
def backward_hooks(T):
    def told(grads):
        return [None if g is None else g.tolist() for g in grads]

    class Product(T.nn.Module):
        def forward(self, x, y, k=2):
            return x * y, 3, x + y

    log, m = [], Product()
    m.register_full_backward_hook(lambda m, gx, gy: log.append(told(gx) + told(gy)[:2]))
    x = T.tensor([1.0, 2.0], requires_grad=True)
    y = T.tensor([3.0, 4.0], requires_grad=True)
    a, three, b = m(x, y)
    (a.sum() + 2 * b.sum() + x.sum()).backward()
    yield log, x.grad.tolist(), y.grad.tolist(), three

    log, m = [], T.nn.Tanh()
    m.register_full_backward_pre_hook(lambda m, gy: (gy[0] * 2,))
    m.register_full_backward_pre_hook(lambda m, gy: log.append(told(gy)))
    m.register_full_backward_hook(lambda m, gx, gy: log.append((told(gx), told(gy))))
    m.register_full_backward_hook(lambda m, gx, gy: (gx[0] * 10,))
    m.register_full_backward_hook(lambda m, gx, gy: log.append("first"), prepend=True)
    x = T.zeros(2, requires_grad=True)
    m(x).sum().backward()
    yield log, x.grad.tolist()

    m = T.nn.Linear(1, 1)
    handle = m.register_full_backward_hook(lambda m, gx, gy: (1, 2))
    yield caught(lambda: m(T.ones(1, requires_grad=True)).sum().backward())
    handle.remove()
    m.register_full_backward_hook(lambda m, gx, gy: log.append((told(gx), told(gy))))
    with T.no_grad():
        m(T.ones(1))
    log.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m(T.ones(1)).sum().backward()
    yield log


@scenario
def sequential(T):
    nn = T.nn
    s = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    yield repr(s), len(s), repr(s[1]), repr(s[-1]), repr(s[:2]), [repr(m) for m in s]
    s[1] = nn.Tanh()
    s.append(nn.Sigmoid())
    yield repr(s)
    del s[0]
    yield repr(s), list(s.state_dict())
    yield repr(s.insert(1, nn.ELU())), repr(s.extend([nn.GELU()])), repr(s.pop(0)), repr(s)
    yield repr(nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh()))
    yield repr(nn.Sequential(nn.ReLU()) * 2)
    s += nn.Sequential(nn.ReLU())
    yield repr(s), caught(lambda: s[9]), caught(lambda: s * 0)
    named = nn.Sequential(OrderedDict(a=nn.Linear(1, 1), b=nn.ReLU()))
    yield repr(named), list(named.state_dict()), repr(named.a), repr(named[0]), repr(named[:1])
    yield repr(nn.Sequential()), nn.Sequential()(5)
    del s[:2]
    yield repr(s)


@scenario
def module_list(T):
    nn = T.nn
    m = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])
    yield repr(m), len(m), [repr(x) for x in m], repr(m[-1]), repr(m[1:])
    m.append(nn.Sequential(nn.ReLU())).extend([nn.Sequential(nn.ReLU()), nn.Tanh()])
    yield repr(m)
    m.insert(0, nn.Tanh())
    m[1] = nn.Sigmoid()
    yield repr(m), repr(m.pop(-1)), repr(m + nn.ModuleList([nn.ReLU()]))
    del m[0], m[-1]
    yield repr(m), names(m.named_children())
    m += [nn.ELU()]
    yield repr(m), repr(nn.ModuleList()), m[2] in m
    yield caught(lambda: m(3)), caught(lambda: m.extend(3))


@scenario
def module_dict(T):
    nn = T.nn
    m = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    yield repr(m), len(m), list(m), list(m.keys()), repr(m["a"]), "b" in m, "c" in m
    m["c"] = nn.Tanh()
    m.update([("d", nn.ELU())])
    yield repr(m), repr(m.pop("a")), [k for k, _ in m.items()], [repr(v) for v in m.values()]
    del m["b"]
    yield repr(m), repr(m.c)
    m.clear()
    yield repr(m), repr(nn.ModuleDict([("x", nn.ReLU())])), caught(lambda: nn.ModuleDict([3]))
    yield caught(lambda: m.pop("zzz"))


@scenario
def parameter_containers(T):
    nn = T.nn
    p = nn.ParameterList([T.ones(2), nn.Parameter(T.zeros(2, 3)), 5])
    yield repr(p), len(p), list(p.state_dict()), isinstance(p[0], nn.Parameter), p[2]
    p.append(T.ones(1)).extend([T.ones(3)])
    p[0] = T.zeros(4)
    p += [T.zeros(5)]
    yield repr(p), len(p[1:3]), repr(p[1:3]), p[-1].tolist(), [type(x).__name__ for x in p]
    d = nn.ParameterDict({"a": T.ones(2), "b": 3})
    d["c"] = T.zeros(1)
    yield list(d), len(d), "a" in d, list(d.state_dict()), d["b"], d.c.tolist(), d.get("z")
    yield d.pop("a").tolist(), [k for k, _ in d.items()], len(list(d.values()))
    d.update({"x": T.ones(3)})
    del d["b"]
    yield list(d.keys()), repr(d), repr(nn.ParameterDict()), repr(nn.ParameterList())
    d.clear()
    yield len(d)


@scenario
def parameters(T):
    p = T.nn.Parameter(T.tensor([1.0, 2.0]))
    yield repr(p), p.requires_grad, p.is_leaf, isinstance(p, T.Tensor)
    yield type(p * 2) is T.Tensor, type(p.data) is T.Tensor, type(p.detach()) is T.Tensor
    yield T.nn.Parameter(T.ones(1), requires_grad=False).requires_grad
    y = T.nn.Parameter(p * 3)
    yield y.is_leaf, y.tolist(), tuple(T.nn.Parameter().shape)
    yield type(copy.deepcopy(p)).__name__, repr(copy.deepcopy(p))


@scenario
def user_defined_text(T):
    class Two(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = T.nn.ReLU()

        def extra_repr(self):
            return "a=1,\nb=2"

    class One(T.nn.Module):
        def extra_repr(self):
            return "a=1"

    yield repr(Two()), repr(One()), repr(T.nn.Module()), One()._get_name()


@pytest.mark.parametrize("story", SCENARIOS, ids=lambda f: f.__name__)
def test_told_alike(story):
    for i, (ours, theirs) in enumerate(zip(story(chainrule), story(torch), strict=True)):
        assert alike(ours, theirs), f"part {i}: {ours} != {theirs}"
