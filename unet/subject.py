"""Any net that a user points at: reads the target and loads it.

Loading a target runs its code.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import types
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from unet.refusal import Refusal, did_you_mean, shown

if TYPE_CHECKING:
    from torch import nn

LONGEST: Final = 2000
"""Characters of a target: Python's parser may crash on text that is nested without end."""


class NoNetError(Refusal):
    """A target that names no net, or calls it as it cannot be called: its author's mistake."""


@final
@dataclass(frozen=True)
class Target:
    """A net by its source and name: `package.module:Factory`, `file.py:Factory(channels=3)`."""

    text: str
    source: str
    name: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    called: bool = False


def read_target(text: str) -> Target:
    """Parse a target; raises `Refusal` for one that is not written as shown.

    >>> target = read_target("nets/mine.py:UNet(n_channels=3, n_classes=2)")
    >>> target.source, target.name, dict(target.keywords)
    ('nets/mine.py', 'UNet', {'n_channels': 3, 'n_classes': 2})
    """
    source, colon, call = text.partition(":")
    if not colon or not source or not call or len(text) > LONGEST or not text.isprintable():
        raise _no_target(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of style, in what is no program
            tree = ast.parse(call.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _no_target(text) from None
    if not isinstance(tree, ast.Call):
        return Target(text, source, _dotted(tree, text))
    try:
        arguments = tuple(ast.literal_eval(argument) for argument in tree.args)
        keywords = dict(_keyword(given) for given in tree.keywords)
        if len(keywords) < len(tree.keywords):
            raise ValueError("a keyword twice, which is no call")
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise Refusal(
            f"target {shown(text)}: arguments must be literals, as 3, 'same' or [1, 2], each once"
        ) from None
    return Target(text, source, _dotted(tree.func, text), arguments, keywords, called=True)


def _no_target(text: str) -> Refusal:
    shape = "package.module:Factory, file.py:Factory or file.py:Factory(channels=3)"
    return Refusal(f"target {shown(text)} is not {shape}")


def _keyword(given: ast.keyword) -> tuple[str, Any]:
    if given.arg is None:
        raise ValueError("**, of which nobody knows the names")
    return given.arg, ast.literal_eval(given.value)


def _dotted(tree: ast.expr, text: str) -> str:
    names: list[str] = []
    while isinstance(tree, ast.Attribute):
        names.append(tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        raise _no_target(text)
    return ".".join([tree.id, *names[::-1]])


def load(target: Target) -> nn.Module:
    """Run the target's code and build its net; raises `NoNetError` if there is none."""
    from torch import nn

    module = _module(target.source)
    found: Any = module
    for name in target.name.split("."):
        if not hasattr(found, name):
            nets = [key for key, value in vars(module).items() if _is_net(value, module)]
            # A function may make one as well, and is called like it.
            near = did_you_mean(target.name, [key for key in vars(module) if key[:1] != "_"])
            known = ", ".join(nets) or "none"
            raise NoNetError(f"{target.source} has no {target.name}; its nets are {known}{near}")
        found = getattr(found, name)
    if isinstance(found, nn.Module) and not target.called:
        return found
    if not callable(found):
        raise NoNetError(
            f"{target.text} is a {type(found).__name__}, not a net or a factory of one"
        )
    _require_arguments(target, found)
    net = found(*target.arguments, **target.keywords)
    if not isinstance(net, nn.Module):
        raise NoNetError(f"{target.text} makes a {type(net).__name__}, not a torch.nn.Module")
    return net


def _is_net(value: object, module: object) -> bool:
    from torch import nn

    mine = getattr(value, "__module__", None) == getattr(module, "__name__", "")
    return mine and inspect.isclass(value) and issubclass(value, nn.Module)


def _require_arguments(target: Target, factory: Any) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*target.arguments, **target.keywords)
    except TypeError as error:
        raise NoNetError(
            f"{target.source}:{target.name}{signature} cannot be called so: {error}; "
            f"give its arguments, as in {target.source}:{target.name}(...)"
        ) from None


def _module(source: str) -> Any:
    path = Path(source)
    if path.suffix == ".py":
        if not path.is_file():
            raise NoNetError(f"there is no file {source}")
        return _module_of(path.resolve())
    here = Path.cwd()
    sys.path.insert(0, str(here))
    name = source.split(".", maxsplit=1)[0]
    if (here / name).is_dir() or (here / f"{name}.py").is_file():
        # It may have the name of one that is loaded, as ours.
        _forget(here / name)
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name and source.startswith(error.name):
            raise NoNetError(f"there is no module {source}, nor a file of that name") from None
        raise


def _module_of(path: Path) -> Any:
    """The module of a file: a part of its package, if it imports from that, else by itself."""
    root = path.parent
    while (root / "__init__.py").is_file() and (root.parent / "__init__.py").is_file():
        root = root.parent
    if _imports_from(path, root.name):
        names = path.relative_to(root.parent).with_suffix("").parts
        _forget(root)
        sys.path.insert(0, str(root.parent))
        if not (root / "__init__.py").is_file():
            # A package without a file of its own would come after every other of its name.
            sys.modules[root.name] = package = types.ModuleType(root.name)
            package.__path__ = [str(root)]
        return importlib.import_module(".".join(names).removesuffix(".__init__"))
    # The file's own neighbours come first, as when it is run.
    sys.path.insert(0, str(path.parent))
    if (path.parent / "unet.py").is_file() and path.name != "unet.py":
        # It may import from this one, and not from us.
        _forget(path.parent / "unet")
    spec = importlib.util.spec_from_file_location(f"subject_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _imports_from(path: Path, package: str) -> bool:
    """Whether a file imports relatively, or from its package by name."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return False  # to import it will say what is wrong
    named = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    absolute = any(str(node.module).split(".")[0] == package for node in named)
    within = (path.parent / "__init__.py").is_file()
    return any(node.level for node in named) or (absolute and within)


def _forget(root: Path) -> None:
    """Let a package go by its own name, even if another of that name, as ours, is loaded."""
    loaded = sys.modules.get(root.name)
    paths = [Path(path).resolve() for path in getattr(loaded, "__path__", ())]
    if loaded is None or root in paths:
        return
    for name in list(sys.modules):
        if name.split(".")[0] == root.name:
            del sys.modules[name]
