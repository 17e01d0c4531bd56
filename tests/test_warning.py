"""A warning names the line of the user's program, once however often the line runs."""

import warnings

import pytest

import chainrule as torch
from chainrule import nn

F = nn.functional
HERE = {
    "a function": lambda: F.softmax(torch.ones(3)),
    "a composite": lambda: F.mse_loss(torch.ones(3), torch.ones(3, 1)),
    "a composite of others": lambda: F.cross_entropy(
        torch.ones(3, 3), torch.zeros(3).long(), size_average=False
    ),
    "a module": lambda: nn.L1Loss(reduce=False),
    "a module of a longer line of classes": lambda: nn.CrossEntropyLoss(size_average=False),
    "a module that is called": lambda: nn.Sequential(nn.MSELoss())[0](
        torch.ones(3), torch.ones(3, 1)
    ),
    "an old name": lambda: nn.init.uniform(torch.empty(2)),
    "an optimizer": lambda: torch.optim.SGD([W, W]),
}
W = torch.ones(1, requires_grad=True)


@pytest.mark.parametrize("where", HERE)
def test_the_line_is_the_users(where):
    call = HERE[where]
    with pytest.warns(Warning) as caught:
        call()
    first = call.__code__.co_firstlineno
    assert caught[0].filename == __file__
    assert first <= caught[0].lineno <= first + 2


def test_a_loop_is_told_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            F.softmax(torch.ones(3))
        F.softmax(torch.ones(3))
    assert len(caught) == 2


def test_an_old_name_does_what_the_new_one_does():
    with pytest.warns(FutureWarning, match="nn.init.constant is the old name"):
        assert nn.init.constant(torch.empty(2), 3.0).tolist() == [3.0, 3.0]
    w = torch.zeros(2, requires_grad=True)
    (w * torch.tensor([3.0, 4.0])).sum().backward()
    text = "clip_grad_norm is the old name of clip_grad_norm_"
    with pytest.warns(FutureWarning, match=text):
        assert nn.utils.clip_grad_norm(w, 1.0).item() == 5.0
