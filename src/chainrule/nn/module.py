"""Module: parameters, buffers and children under names, and a forward function over them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ..errors import ArgumentError, ArgumentTypeError, NameRejected, ShapeError
from ..history import RemovableHandle
from ..managed import Table, changes
from ..observers import observers, tell
from ..scope import Frame, Scope, context, leave
from ..tensor import Tensor
from . import state
from .convert import conversion
from .explain import refusal
from .hooks import Hook, add_hook, call_with_hooks
from .parameter import Buffer, Parameter
from .text import block

M = TypeVar("M", bound="Module")
_TABLES = ("_parameters", "_buffers", "_modules")


class Module:
    """A function with state: y = forward(x; parameters).

    Assigning a Parameter, a Module or a Buffer to an attribute registers it under that name; names
    of nested modules are joined by dots.  The order of registration is the order of `parameters()`
    and of `state_dict()`.  Differences from PyTorch: no pickling, no scripting, one device.

    >>> import chainrule as torch
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = torch.nn.Linear(2, 1)
    ...     def forward(self, x):
    ...         return self.fc(x).relu()
    >>> [name for name, _ in Net().named_parameters()]
    ['fc.weight', 'fc.bias']
    """

    _version = 1
    training: bool
    # State dicts name these; each maps a name to its Parameter, tensor or Module (or None).
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _label=type(self).__name__,
            _hooked=False,
            _parameters=Table(),
            _buffers=Table(),
            _modules=Table(),
            _non_persistent_buffers_set=set(),
            _forward_pre_hooks=[],
            _forward_hooks=[],
            _backward_pre_hooks=[],
            _backward_hooks=[],
            _state_dict_pre_hooks=[],
            _state_dict_hooks=[],
            _load_state_dict_pre_hooks=[],
            _load_state_dict_post_hooks=[],
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it, and `module(x)` calls it."""
        raise NotImplementedError(
            f'{self._get_name()} requires a "forward" function to be called, got none'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        saved = context.now
        outer = saved.scope
        cls = type(self)
        label = cls.__name__ if outer is None else self._label
        scope = Scope(outer, label, "module", None, cls)
        context.now = now = Frame(saved.grad_enabled, scope, saved.site)
        try:
            result = (call_with_hooks(self, args, kwargs) if self._hooked
                      else self.forward(*args, **kwargs))
            if outer is None and observers:
                tell("forwarded", (self, result))
            return result
        except ShapeError as error:
            refused = refusal(self, args, error, Module.__call__.__code__)
            if refused is error:
                raise
            raise refused from error
        finally:
            if context.now is now:
                context.now = saved
            else:  # a grad mode was set
                leave(saved)

    def _broken_rule(self, *args: Any) -> tuple[str, str | None] | None:
        """Which rule the arguments break, and a hint; asked only after a ShapeError."""
        return None

    # ------------------------------------------------------------------ attributes and names

    def __getattr__(self, name: str) -> Any:
        # Reached only when ordinary lookup has failed.
        own = self.__dict__
        parameters = own.get("_parameters")
        if parameters is not None:
            if name in parameters:
                return parameters[name]
            if name in own["_modules"]:
                return own["_modules"][name]
            if name in own["_buffers"]:
                return own["_buffers"][name]
        message = f"'{type(self).__name__}' object has no attribute '{name}'"
        raise AttributeError(message, name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._forget(name, but="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, but="_modules")
            self.add_module(name, value)
        elif isinstance(value, Buffer):
            self._forget(name, but="_buffers")
            self.register_buffer(name, value, value.persistent)
        else:
            self._set_plain(name, value)

    def _set_plain(self, name: str, value: Any) -> None:
        own = self.__dict__
        if name in own.get("_parameters", ()):
            _require_type(name, value, type(None), "parameter", "nn.Parameter or None")
            own["_parameters"][name] = None
        elif name in own.get("_modules", ()):
            _require_type(name, value, type(None), "child module", "nn.Module or None")
            own["_modules"][name] = None
        elif name in own.get("_buffers", ()):
            _require_type(name, value, (Tensor, type(None)), "buffer", "Tensor or None")
            own["_buffers"][name] = value
        else:
            changes.count += 1
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if any(name in self.__dict__[table] for table in _TABLES):
            self._forget(name)
        else:
            changes.count += 1
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(names)

    def _forget(self, name: str, but: str = "") -> None:
        """Take `name` away everywhere but in the table where it may keep its place."""
        own = self.__dict__
        if "_parameters" not in own:
            raise AttributeError(
                f"{type(self).__name__} requires super().__init__() before '{name}' is assigned, "
                "got no call of Module.__init__()"
            )
        own.pop(name, None)
        for table in _TABLES:
            if table != but:
                own[table].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def _require_free(self, name: Any, table: Mapping[str, Any], what: str) -> None:
        """Only a new, plain, dot-free name, or one that `table` itself holds, may be registered."""
        if "_parameters" not in self.__dict__:
            self._forget(str(name))
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{what} requires a name, got {type(name).__name__}")
        if not name or "." in name:
            raise NameRejected(f'{what} requires a name that is not empty and has no ".", '
                               f"got {name!r}")
        if name not in table and hasattr(self, name):
            raise NameRejected(f"{what} requires a new name, got {name!r}, an attribute that "
                               "already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a Parameter, or None for one that this instance goes without."""
        self._require_free(name, self._parameters, "parameter")
        _require_type(name, param, (Parameter, type(None)), "parameter", "nn.Parameter or None")
        if param is not None and param.grad_fn is not None:
            raise ArgumentError(
                f"parameter '{name}' requires a leaf, got a tensor with history",
                hint="store the leaf and compute the rest in forward()",
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; `persistent`: part of `state_dict()`."""
        self._require_free(name, self._buffers, "buffer")
        _require_type(name, tensor, (Tensor, type(None)), "buffer", "Tensor or None")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child, or None for one that this instance goes without."""
        self._require_free(name, self._modules, "child module")
        _require_type(name, module, (Module, type(None)), "child module", "nn.Module or None")
        if module is not None:
            # So that a node recorded in the child can say `Net.fc1`.
            module.__dict__["_label"] = name
        self._modules[name] = module

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path below this one; '' is this one."""
        module = self
        for name in target.split(".") if target else ():
            found = _member(module, name)
            if not isinstance(found, Module):
                raise AttributeError(f"'{name}' in '{target}' requires an nn.Module, "
                                     f"got {type(found).__name__}")
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` at a dotted path; `strict`: only where there is one already."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if strict:
            _member(owner, name)
        setattr(owner, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path below this module."""
        return self._get_from("_parameters", target, "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path below this module."""
        return self._get_from("_buffers", target, "buffer")

    def _get_from(self, table: str, target: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        found = _member(owner, name)
        if name not in getattr(owner, table):
            raise AttributeError(f"'{name}' in '{target}' requires a {what}, "
                                 f"got {type(found).__name__}")
        return found

    # ------------------------------------------------------------------ iteration

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """As `named_modules`, without the names."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, each once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """As `named_children`, without the names."""
        return (child for _, child in self.named_children())

    def _named_members(
        self,
        members_of: Callable[[Module], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        seen: set[int] = set()
        for path, owner in owners:
            for name, member in members_of(owner):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield _join(path, name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, each once: tied weights count under one name."""
        return self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """As `named_parameters`, without the names."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name, each once."""
        return self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """As `named_buffers`, without the names."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    # ------------------------------------------------------------------ state

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name, in order of registration.

        The tensors share the module's storage: clone them to keep a moment.  `keep_vars` gives
        the Parameters themselves.

        >>> import chainrule as torch
        >>> list(torch.nn.BatchNorm1d(1).state_dict())
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook in self._state_dict_pre_hooks:
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks:
            changed = hook(self, destination, prefix, local)
            destination = destination if changed is None else changed
        return destination

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names.

        `strict` refuses missing and unexpected names; otherwise both are returned.  `assign` takes
        the given tensors themselves in place of copying.  On any error, every parameter and buffer
        keeps the value that it had: nothing is half-loaded (PyTorch keeps what it had copied).

        >>> import chainrule as torch
        >>> layer = torch.nn.Linear(1, 1)
        >>> layer.load_state_dict({"weight": torch.ones(1, 1), "bias": torch.zeros(1)})
        <All keys matched successfully>
        """
        return state.load(self, state_dict, strict, assign)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        state.save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        state.load_own(
            self, state_dict, prefix, local_metadata, strict,
            missing_keys, unexpected_keys, error_msgs,
        )

    def get_extra_state(self) -> Any:
        """What `state_dict()` keeps of this module besides tensors; override it to have some."""
        raise NotImplementedError(f"{self._get_name()} requires get_extra_state() to be defined")

    def set_extra_state(self, state: Any) -> None:
        """Takes back what `get_extra_state` gave; override both together."""
        raise NotImplementedError(f"{self._get_name()} requires set_extra_state() to be defined")

    # ------------------------------------------------------------------ hooks

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns replaces the arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)` and returns both, or None.
        """
        self._hooked = True
        return add_hook(self._forward_pre_hooks, Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, result)` after forward; what it returns replaces the result.

        `always_call`: also when forward raises.
        """
        self._hooked = True
        return add_hook(self._forward_hooks, Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the gradients of the inputs are recorded.

        What it returns replaces the cotangents of the outputs.
        """
        self._hooked = True
        return add_hook(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when both are recorded.

        What it returns replaces the cotangents of the inputs.  Difference from PyTorch: of several
        outputs, one that nothing used gives zeros, not None.

        >>> import chainrule as torch
        >>> layer = torch.nn.Tanh()
        >>> handle = layer.register_full_backward_hook(lambda m, gx, gy: print(gx[0].item()))
        >>> layer(torch.zeros((), requires_grad=True)).backward()
        1.0
        """
        self._hooked = True
        return add_hook(self._backward_hooks, hook, prepend)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the module's state is collected."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` when it is collected."""
        return add_hook(self._state_dict_hooks, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, ...)` before the module's own state is loaded."""

        def with_module(*args: Any) -> None:
            hook(self, *args)

        return add_hook(self._load_state_dict_pre_hooks, with_module)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return add_hook(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may edit both lists of keys."""
        return add_hook(self._load_state_dict_post_hooks, hook)

    # ------------------------------------------------------------------ all tensors at once

    def train(self: M, mode: bool = True) -> M:
        """Set `training`, here and below: Dropout, BatchNorm and their like look at it."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train requires mode True or False, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: M) -> M:
        """`train(False)`."""
        return self.train(False)

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` on every module below this one, then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set `requires_grad` of every parameter."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for param in self.parameters():
            if set_to_none or param.grad is None:
                param.grad = None
            else:
                param.grad.detach_().zero_()
        if observers:
            tell("zeroed", self)

    def _apply(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        for child in self.children() if recurse else ():
            child._apply(fn)
        for param in self._parameters.values():
            if param is not None:
                param.data = fn(param.data)
                if param.grad is not None:
                    param.grad = fn(param.grad.detach())
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """`to(device)`, `to(dtype)`, `to(device, dtype)` or `to(tensor)`, in place.

        Only floating-point tensors change their dtype.
        """
        return self._apply(conversion(args, kwargs))

    def _to_floating(self: M, name: str) -> M:
        return self._apply(lambda t: getattr(t, name)() if t.is_floating_point() else t)

    def float(self: M) -> M:
        """All floating-point tensors to float32."""
        return self._to_floating("float")

    def double(self: M) -> M:
        """All floating-point tensors to float64."""
        return self._to_floating("double")

    def half(self: M) -> M:
        """All floating-point tensors to float16."""
        return self._to_floating("half")

    def bfloat16(self: M) -> M:
        """All floating-point tensors to bfloat16."""
        return self._to_floating("bfloat16")

    def type(self: M, dst_type: Any) -> M:
        """All tensors to `dst_type`."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self: M) -> M:
        """This module: everything is on the CPU."""
        return self

    def cuda(self: M, device: Any = None) -> M:
        """Raises DeviceError: chainrule computes on the CPU."""
        return self._apply(lambda t: t.cuda(device))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the graphs of a module become programs as they are; see torch.compile."""

    # ------------------------------------------------------------------ text

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """The settings that `repr` shows between the parentheses."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) == 1 and not self._modules:
            return f"{self._get_name()}({extra})"
        lines += [f"({name}): {child!r}" for name, child in self._modules.items()]
        return block(self._get_name(), lines)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _member(module: Module, name: str) -> Any:
    if not hasattr(module, name):
        raise AttributeError(
            f"{module._get_name()} has no attribute '{name}'", name=name, obj=module
        )
    return getattr(module, name)


def _require_type(name: str, value: Any, allowed: Any, what: str, rule: str) -> None:
    if not isinstance(value, allowed):
        raise ArgumentTypeError(f"{what} '{name}' requires {rule}, got {type(value).__name__}")
