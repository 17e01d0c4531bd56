"""Module and the containers: refusals, loading as a whole, hooks, scopes."""

import copy
import pickle
import warnings

import pytest

import chainrule as torch
from chainrule import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Sequential(nn.Tanh(), nn.Linear(3, 1))])

    def forward(self, x):
        x = self.norm(self.fc1(x))
        for layer in self.layers:
            x = layer(x)
        return x


def refusal(kind, call):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


# ---- names and registration


def test_a_module_that_was_not_initialised():
    class Early(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(torch.ones(1))

    text = refusal(AttributeError, Early)
    assert text == (
        "Early requires super().__init__() before 'w' is assigned, got no call of "
        "Module.__init__()"
    )


def test_names_that_are_refused():
    net = Net()
    text = refusal(KeyError, lambda: net.register_buffer("fc1", torch.ones(1)))
    assert text.startswith("buffer requires a new name, got 'fc1', an attribute that already")
    assert "test_module.py" in text  # and not as KeyError's quoted literal
    text = refusal(KeyError, lambda: net.register_parameter("a.b", None))
    assert "parameter requires a name that is not empty and has no \".\", got 'a.b'" in text
    text = refusal(TypeError, lambda: net.add_module(3, nn.ReLU()))
    assert "child module requires a name, got int" in text


def test_values_that_are_refused():
    net = Net()
    text = refusal(TypeError, lambda: setattr(net, "fc1", 5))
    assert "child module 'fc1' requires nn.Module or None, got int" in text
    text = refusal(TypeError, lambda: setattr(net.fc1, "weight", torch.ones(2)))
    assert "parameter 'weight' requires nn.Parameter or None, got Tensor" in text
    text = refusal(TypeError, lambda: setattr(net.norm, "running_mean", 5))
    assert "buffer 'running_mean' requires Tensor or None, got int" in text
    product = nn.Parameter(torch.ones(1)) * 2
    product.__class__ = nn.Parameter
    text = refusal(ValueError, lambda: net.register_parameter("w", product))
    assert "parameter 'w' requires a leaf, got a tensor with history" in text
    assert isinstance(net.fc1, nn.Linear) and net.fc1.weight.shape == (3, 2)


def test_attributes_that_do_not_exist():
    net = Net()
    assert refusal(AttributeError, lambda: net.fc7) == "'Net' object has no attribute 'fc7'"
    with pytest.raises(AttributeError) as caught:
        _ = net.fc7
    assert caught.value.name == "fc7" and caught.value.obj is net  # Python names the nearest one
    text = refusal(AttributeError, lambda: net.get_submodule("layers.7"))
    assert text == "ModuleList has no attribute '7'"
    text = refusal(AttributeError, lambda: net.get_submodule("fc1.weight"))
    assert text == "'weight' in 'fc1.weight' requires an nn.Module, got Parameter"
    text = refusal(AttributeError, lambda: net.get_parameter("norm.running_mean"))
    assert text == "'running_mean' in 'norm.running_mean' requires a parameter, got Tensor"
    text = refusal(AttributeError, lambda: net.set_submodule("fc9", nn.ReLU(), strict=True))
    assert text == "Net has no attribute 'fc9'"


def test_calls_that_are_refused():
    assert refusal(NotImplementedError, lambda: nn.Module()(1)) == (
        'Module requires a "forward" function to be called, got none'
    )
    assert "train requires mode True or False, got 3" in refusal(ValueError, lambda: Net().train(3))
    text = refusal(TypeError, lambda: Net().to(torch.int64))
    assert "Module.to requires a floating-point dtype, got torch.int64" in text
    assert "get_extra_state" in refusal(NotImplementedError, nn.Module().get_extra_state)
    assert "set_extra_state" in refusal(
        NotImplementedError, lambda: nn.Module().set_extra_state(1)
    )
    with pytest.raises(RuntimeError, match="cpu"):
        Net().cuda()
    with pytest.raises(RuntimeError, match="cpu"):
        Net().to("cuda")
    with pytest.raises(TypeError, match="pickl"):
        pickle.dumps(Net())


def test_compile_is_the_identity_for_now():
    net = Net().eval()
    x = torch.ones(2, 2)
    before = net(x)
    before.tolist()
    assert net.compile() is None
    # Interpreted at first sight, compiled at the second: the same but for rounding.
    assert torch.allclose(net(x), before, rtol=1e-6, atol=1e-7)


# ---- state


def values(module):
    return {name: value.tolist() for name, value in module.state_dict().items()}


def test_wrong_state_is_reported_whole_and_nothing_is_loaded():
    net = Net()
    before = values(net)
    state = {name: value + 1 for name, value in net.state_dict().items()}
    del state["fc1.weight"]
    state["fc2.weight"] = torch.ones(1)
    state["norm.weight"] = torch.ones(7)
    state["layers.0.bias"] = [1, 2, 3]
    text = refusal(RuntimeError, lambda: net.load_state_dict(state))
    assert text.startswith(
        "load_state_dict requires the keys and shapes of Net, got "
        'Missing key(s) in state_dict: "fc1.weight"; '
        'Unexpected key(s) in state_dict: "fc2.weight"; '
        "size mismatch for norm.weight: (7,) in place of (3,); "
        'a list instead of a tensor for "layers.0.bias" '
        "(Error(s) in loading state_dict for Net)\n  recorded at test_module.py:"
    )
    assert text.endswith("hint: strict=False lets missing and unexpected keys pass")
    assert values(net) == before
    wrapped = {f"module.{name}": value for name, value in net.state_dict().items()}
    text = refusal(RuntimeError, lambda: net.load_state_dict(wrapped))
    assert text.endswith("hint: the given keys start with 'module.'; take that away")
    refusal(RuntimeError, lambda: net.load_state_dict(state, strict=False))
    assert values(net) == before


@pytest.mark.parametrize("assign", [False, True])
def test_an_error_in_a_hook_undoes_what_was_loaded(assign):
    net = Net()
    before, weight = values(net), net.fc1.weight

    def fail(module, keys):
        raise OSError("no")

    handle = net.register_load_state_dict_post_hook(fail)
    state = {name: value + 1 for name, value in net.state_dict().items()}
    with pytest.raises(OSError):
        net.load_state_dict(state, assign=assign)
    assert values(net) == before and net.fc1.weight is weight
    handle.remove()
    net.load_state_dict(state, assign=assign)
    assert values(net) != before


def test_loading_copies():
    net, other = Net(), Net()
    state = other.state_dict()
    net.load_state_dict(state)
    with torch.no_grad():
        other.fc1.weight.zero_()
    assert net.fc1.weight.abs().sum().item() > 0
    assert net.fc1.weight.is_leaf and net.fc1.weight.requires_grad
    with pytest.raises(TypeError, match="load_state_dict requires a dict of tensors, got int"):
        net.load_state_dict(3)


def test_state_dict_shares_storage_with_the_module():
    layer = nn.Linear(1, 1)
    state = layer.state_dict()
    with torch.no_grad():
        layer.weight.fill_(7)
    assert state["weight"].item() == 7


def test_copies_are_independent():
    net = Net()
    net(torch.ones(2, 2)).sum().backward()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.fc1.weight.zero_()
    assert net.fc1.weight.abs().sum().item() > 0
    assert twin.fc1.weight.grad is None and net.fc1.weight.grad is not None
    assert twin.norm.running_mean.tolist() == net.norm.running_mean.tolist()


# ---- scopes


def test_nodes_know_the_path_of_their_module():
    paths = []
    net = Net()
    for module in net.modules():
        module.register_forward_hook(lambda m, args, out: paths.append(out.node.scope.module))
    net(torch.ones(2, 2))
    assert paths == [
        "Net.fc1", "Net.norm", "Net.0", "Net.1.0", "Net.1.1", "Net.1.1", "Net.1.1"
    ]  # fmt: skip
    y = net.fc1(torch.ones(2, 2))
    assert y.node.scope.module == "Linear"  # called on its own
    assert y.node.where.filename == __file__


def test_an_exception_leaves_the_scope():
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError("x")

    with pytest.raises(KeyError):
        Broken()(1)
    assert (torch.ones(1) + 1).node.scope is None


# ---- hooks


def test_hooks_that_return_the_wrong_thing():
    layer = nn.Linear(1, 1)
    layer.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    text = refusal(RuntimeError, lambda: layer(torch.ones(1)))
    assert (
        "forward pre-hook with kwargs requires None or (args, kwargs) as its result, got 3" in text
    )
    layer = nn.Linear(1, 1)
    layer.register_full_backward_hook(lambda m, gx, gy: (1, 2))
    x = torch.ones(1, requires_grad=True)
    text = refusal(RuntimeError, lambda: layer(x).backward())
    assert "backward hook requires one grad_input for each of 1, got 2" in text


def test_an_always_called_hook_does_not_hide_the_error():
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError("the first error")

    def fail(m, args, out):
        raise ValueError("the second error")

    module = Broken()
    module.register_forward_hook(fail, always_call=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(KeyError, match="the first error"):
            module(1)
    assert "the second error" in str(told[0].message)


def test_backward_hooks_of_several_tensors_see_them_together():
    class Both(nn.Module):
        def forward(self, x, y):
            return {"ignored": x}, x * y, (x + y).double()

    seen = []
    module = Both()
    module.register_full_backward_hook(lambda m, gx, gy: seen.append((gx, gy)))
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor(3.0, requires_grad=True)
    other, product, total = module(x, y)
    assert total.dtype is torch.float64
    (product.sum() + 2 * total.sum() + other["ignored"].sum()).backward()
    ((gx, gy),) = seen
    # The third path, through the dict, is not the module's business.
    assert gy[0] is None and gy[1].tolist() == [1, 1] and gy[2].tolist() == [2, 2]
    assert gx[0].tolist() == [6, 6] and gx[1].tolist() == 7
    assert x.grad.tolist() == [6, 6] and y.grad.item() == 7


# ---- containers


def test_containers_refuse():
    text = refusal(IndexError, lambda: nn.Sequential(nn.ReLU())[4])
    assert "Sequential requires an index in [-1, 1), got 4" in text
    text = refusal(IndexError, lambda: nn.ParameterList([torch.ones(1)])[-2])
    assert "ParameterList requires an index in [-1, 1), got -2" in text
    text = refusal(TypeError, lambda: nn.Sequential(nn.ReLU()) * 1.5)
    assert "Sequential * n requires an int n, got float" in text
    text = refusal(ValueError, lambda: nn.Sequential(nn.ReLU()) * 0)
    assert "Sequential * n requires n >= 1, got 0" in text
    text = refusal(TypeError, lambda: nn.ModuleDict([3]))
    assert "ModuleDict.update requires a dict or pairs (name, value), got int" in text
    text = refusal(TypeError, lambda: nn.ModuleList([3]))
    assert "child module '0' requires nn.Module or None, got int" in text
