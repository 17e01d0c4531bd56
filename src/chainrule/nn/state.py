"""What `state_dict` and `load_state_dict` do, for one module and for a whole tree of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import ArgumentTypeError, StateError
from ..grad_mode import no_grad
from ..tensor import Tensor
from .parameter import Parameter

_EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """The names that a state dict lacked, and those that it had in excess."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def _own_tensors(module: Any) -> Iterator[tuple[str, Tensor]]:
    for name, param in module._parameters.items():
        if param is not None:
            yield name, param
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer


def _has_extra_state(module: Any) -> bool:
    # Only who overrides the method has some; Module's own says that there is none.
    return type(module).get_extra_state.__module__ != f"{__package__}.module"


def save_own(module: Any, destination: Any, prefix: str, keep_vars: bool) -> None:
    """Put the module's own tensors, not its children's, into `destination`."""
    for name, tensor in _own_tensors(module):
        destination[prefix + name] = tensor if keep_vars else tensor.detach()
    if _has_extra_state(module):
        destination[prefix + _EXTRA] = module.get_extra_state()


def load_own(
    module: Any,
    state: Mapping[str, Any],
    prefix: str,
    metadata: Mapping[str, Any],
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Copy the module's own tensors out of `state`; say in the three lists what does not fit."""
    for hook in list(module._load_state_dict_pre_hooks):
        hook(state, prefix, metadata, strict, missing, unexpected, errors)
    assign = metadata.get("assign_to_params_buffers", False)
    for name, target in list(_own_tensors(module)):
        key = prefix + name
        if key not in state:
            if strict:
                missing.append(key)
        elif (error := _misfit(key, target, state[key], assign)) is not None:
            errors.append(error)
        else:
            _take(module, name, target, state[key], assign)
    if _has_extra_state(module):
        if prefix + _EXTRA in state:
            module.set_extra_state(state[prefix + _EXTRA])
        elif strict:
            missing.append(prefix + _EXTRA)
    if strict:
        unexpected += [key for key in state if _is_unknown(module, key, prefix)]


def _is_unknown(module: Any, key: str, prefix: str) -> bool:
    if not key.startswith(prefix):
        return False
    name, dot, _ = key[len(prefix) :].partition(".")
    if dot:
        return name not in module._modules
    if name == _EXTRA:
        return not _has_extra_state(module)
    return all(name != own for own, _ in _own_tensors(module))


def _misfit(key: str, target: Tensor, given: Any, assign: bool) -> str | None:
    if not isinstance(given, Tensor):
        return f'a {type(given).__name__} instead of a tensor for "{key}"'
    # Old checkpoints keep one number as shape (1,).
    scalar = target.dim() == 0 and tuple(given.shape) == (1,)
    if tuple(target.shape) != tuple(given.shape) and not (scalar and not assign):
        return f"size mismatch for {key}: {tuple(given.shape)} in place of {tuple(target.shape)}"
    return None


def _take(module: Any, name: str, target: Tensor, given: Tensor, assign: bool) -> None:
    if not assign:
        with no_grad():
            target.copy_(given.reshape(target.shape))
    elif name not in module._parameters:
        module._buffers[name] = given
    elif isinstance(given, Parameter):
        module._parameters[name] = given
    else:
        module._parameters[name] = Parameter(given, requires_grad=target.requires_grad)


def load(module: Any, given: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Load a whole tree of modules, or raise and leave it as it was."""
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(
            f"load_state_dict requires a dict of tensors, got {type(given).__name__}"
        )
    result = IncompatibleKeys([], [])
    errors: list[str] = []
    undo = _Undo(module)
    try:
        _load_tree(module, OrderedDict(given), "", given, assign, result, errors)
        if strict:
            errors[:0] = _report("Unexpected", result.unexpected_keys)
            errors[:0] = _report("Missing", result.missing_keys)
        if errors:
            name = module._get_name()
            raise StateError(
                f"load_state_dict requires the keys and shapes of {name}, got {'; '.join(errors)} "
                f"(Error(s) in loading state_dict for {name})",
                hint=_hint(*result) if strict else None,
            )
    except Exception:
        undo()
        raise
    return result


def _report(what: str, keys: list[str]) -> list[str]:
    names = ", ".join(f'"{key}"' for key in keys)
    return [f"{what} key(s) in state_dict: {names}"] if keys else []


def _hint(missing: list[str], unexpected: list[str]) -> str | None:
    for key in unexpected:
        for name in missing:
            if key.endswith(f".{name}"):
                return f"the given keys start with {key.removesuffix(name)!r}; take that away"
    if missing or unexpected:
        return "strict=False lets missing and unexpected keys pass"
    return None


def _load_tree(
    module: Any,
    state: OrderedDict[str, Any],
    prefix: str,
    given: Mapping[str, Any],
    assign: bool,
    result: IncompatibleKeys,
    errors: list[str],
) -> None:
    metadata = dict(getattr(given, "_metadata", {}).get(prefix[:-1], {}))
    if assign:
        metadata["assign_to_params_buffers"] = True
    module._load_from_state_dict(state, prefix, metadata, True, *result, errors)
    for name, child in module._modules.items():
        if child is not None:
            below = f"{prefix}{name}."
            part = OrderedDict((k, v) for k, v in state.items() if k.startswith(below))
            _load_tree(child, part, below, given, assign, result, errors)
    for hook in list(module._load_state_dict_post_hooks):
        hook(module, result)


class _Undo:
    """Remembers every tensor of a tree of modules, and which tensor each name holds."""

    def __init__(self, module: Any):
        self.values: list[tuple[Tensor, Tensor]] = []
        self.tables: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for owner in module.modules():
            for table in (owner._parameters, owner._buffers):
                self.tables.append((table, dict(table)))
                for tensor in table.values():
                    if tensor is not None:
                        self.values.append((tensor, tensor.detach().clone()))

    def __call__(self) -> None:
        for table, old in self.tables:
            table.clear()
            table.update(old)
        with no_grad():
            for tensor, value in self.values:
                tensor.data = value  # of a lazy module's parameter also the shape
