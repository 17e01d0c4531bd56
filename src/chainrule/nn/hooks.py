"""What a Module's hooks are made of: handles, the order of calls, and the watch on gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import GradError, StateError
from ..history import RemovableHandle
from ..methods.joining import cat
from ..scope import context
from ..tensor import Tensor
from ..warning import warn


class Hook(NamedTuple):
    """A user's function and how it wants to be called."""

    call: Callable
    with_kwargs: bool = False
    always: bool = False


def add_hook(hooks: list, hook: Any, prepend: bool = False) -> RemovableHandle:
    """Put `hook` at the end of `hooks`, or in front of all others."""
    handle = RemovableHandle(hooks, hook)
    if prepend:
        hooks.insert(0, hooks.pop())
    return handle


def call_with_hooks(module: Any, args: tuple, kwargs: dict) -> Any:
    """forward, between the forward pre-hooks and the forward hooks, under the backward hooks."""
    waiting = list(module._forward_hooks)
    result = None
    try:
        args, kwargs = _run_pre_hooks(module, args, kwargs)
        watch = None
        if module._backward_hooks or module._backward_pre_hooks:
            watch = _Watch(module)
            args = watch.inputs(args)
        result = module.forward(*args, **kwargs)
        while waiting:
            hook = waiting.pop(0)
            changed = _run_hook(hook, module, args, kwargs, result)
            result = result if changed is None else changed
        return result if watch is None else watch.outputs(result)
    except Exception:
        for hook in waiting:
            if hook.always:
                _run_in_spite_of_error(hook, module, args, kwargs, result)
        raise


def _run_pre_hooks(module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    for hook in list(module._forward_pre_hooks):
        if not hook.with_kwargs:
            changed = hook.call(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
            continue
        changed = hook.call(module, args, kwargs)
        if changed is not None:
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise StateError(
                    "forward pre-hook with kwargs requires None or (args, kwargs) as its result, "
                    f"got {changed!r}"
                )
            args, kwargs = changed
    return args, kwargs


def _run_hook(hook: Hook, module: Any, args: tuple, kwargs: dict, result: Any) -> Any:
    if hook.with_kwargs:
        return hook.call(module, args, kwargs, result)
    return hook.call(module, args, result)


def _run_in_spite_of_error(
    hook: Hook, module: Any, args: tuple, kwargs: dict, result: Any
) -> None:
    # The error of forward is the one to see; a second one must not replace it.
    try:
        _run_hook(hook, module, args, kwargs, result)
    except Exception as error:
        warn(f"a forward hook with always_call=True raised: {error}")


class _Watch:
    """Hands a module's backward hooks the cotangents of its inputs and of its outputs.

    The tensors of the arguments, and those of the result, each pass through one joint: a node
    whose cotangent holds all of theirs, so that the hooks see them together.
    """

    def __init__(self, module: Any):
        self.module = module
        self.positions: list[int] = []
        self.arity = 0
        self.output_grads: tuple = ()

    def inputs(self, args: tuple) -> tuple:
        self.arity = len(args)
        args, self.positions = _joined(args, self._on_inputs)
        return args

    def outputs(self, result: Any) -> Any:
        if not isinstance(result, tuple | list):
            return _joined((result,), self._on_outputs)[0][0]
        passed, _ = _joined(tuple(result), self._on_outputs)
        return type(result)(*passed) if hasattr(result, "_fields") else type(result)(passed)

    def _on_outputs(self, grads: tuple) -> tuple:
        for hook in list(self.module._backward_pre_hooks):
            grads = _replaced(hook(self.module, grads), grads, "grad_output")
        self.output_grads = grads
        if not self.positions:
            # No input requires grad: the cotangents of the outputs are all there is to see.
            self._on_inputs((None,) * self.arity)
        return grads

    def _on_inputs(self, grads: tuple) -> tuple:
        for hook in list(self.module._backward_hooks):
            grads = _replaced(hook(self.module, grads, self.output_grads), grads, "grad_input")
        return grads


def _joined(items: tuple, react: Callable[[tuple], tuple]) -> tuple[tuple, list[int]]:
    """`items`, whose tensors that require grad have passed the joint, and where those are.

    `react` maps the cotangents of all items, None for what has none, to their replacement.
    """
    positions = [
        i for i, item in enumerate(items) if isinstance(item, Tensor) and item.requires_grad
    ]
    if not (positions and context.now.grad_enabled):
        return items, []
    tensors = [items[i] for i in positions]
    joint = _join(tensors)

    def on_cotangent(ct: Tensor) -> Tensor:
        grads = _spread(_parts(ct, tensors), positions, (None,) * len(items))
        changed = react(grads)
        return _join([changed[i] for i in positions])

    joint.register_hook(on_cotangent)
    return _spread(_parts(joint, tensors), positions, items), positions


def _join(tensors: list[Tensor]) -> Tensor:
    if len(tensors) == 1:
        return tensors[0].view_as(tensors[0])
    return cat([t.flatten() for t in tensors])


def _parts(joint: Tensor, like: list[Tensor]) -> list[Tensor]:
    if len(like) == 1:
        return [joint]
    rows = joint.split([t.numel() for t in like])
    return [row.view(t.shape).to(t.dtype) for row, t in zip(rows, like)]


def _spread(values: list, positions: list[int], rest: tuple) -> tuple:
    whole = list(rest)
    for position, value in zip(positions, values):
        whole[position] = value
    return tuple(whole)


def _replaced(result: Any, old: tuple, name: str) -> tuple:
    if result is None:
        return old
    new = result if isinstance(result, tuple) else (result,)
    if len(new) != len(old):
        raise GradError(
            f"backward hook requires one {name} for each of {len(old)}, got {len(new)}"
        )
    return new
