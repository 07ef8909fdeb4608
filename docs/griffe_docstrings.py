"""Extensions of griffe, which reads the docstrings for the site.

- ``**settings: Unpack[StreamOptions]`` is shown as the settings themselves. griffe has an extension
  for this. It works while a package is being loaded, so it fails where the types are in a module
  that is loaded later. This one begins when the whole package is loaded.
- A function that must be awaited has the label ``async``, and one for a block ``async with``. Other
  labels say how a thing is defined, and nothing to a reader.
- Lines that end in ``::`` and simple tables are reStructuredText. Pages are Markdown. The name of a
  page of ``docs`` becomes a link.
"""

import re
from textwrap import dedent
from typing import Any

import griffe

CODE = re.compile(r"^::\n\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)
TABLE = re.compile(r"^=+(?: +=+)+\n(.*?)^=+(?: +=+)+$", re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"``docs/(\w+)\.md``")
UNPACK = {"typing.Unpack", "typing_extensions.Unpack"}


class MarkdownBlocks(griffe.Extension):
    """Makes Markdown of what is reStructuredText in a docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of any object."""
        if obj.docstring is not None:
            obj.docstring.value = _markdown(obj.docstring.value)


class AsyncLabels(griffe.Extension):
    """Leaves no labels but those that say how a function is called."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change the labels of all objects of a package."""
        for one in _objects(pkg):
            awaited = "async" in one.labels
            entered = any("asynccontextmanager" in str(each.value) for each in _decorators(one))
            one.labels = {"async with"} if entered else {"async"} if awaited else set()


class KeywordSettings(griffe.Extension):
    """Documents each key of an unpacked ``TypedDict`` among the other parameters of a function."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Find the functions of a package that take such settings."""
        for function in _functions(pkg):
            for parameter in list(function.parameters):
                options = _unpacked(parameter, loader)
                if options is not None:
                    _document(function, parameter.name, _rows(options))


def _markdown(docstring: str) -> str:
    """Return a docstring in Markdown. What is Markdown stays as it is."""
    text = CODE.sub(lambda code: f"```python\n{dedent(code[1]).strip()}\n```\n\n", f"{docstring}\n")
    text = re.sub(r"(?m)(?<=\S)::$", ":", text.rstrip())
    text = PAGE.sub(r"[\1](../\1.html)", text)
    return TABLE.sub(_as_markdown, text)


def _as_markdown(table: re.Match[str]) -> str:
    """Return a table whose cells are two spaces apart, or one after a closing backtick."""
    rows = [re.split(r" {2,}|(?<=``) +", line.strip()) for line in table[1].splitlines()]
    width = max(map(len, rows))
    lines = [f"| {' | '.join(cells + [''] * (width - len(cells)))} |" for cells in rows]
    return "\n".join([f"|{' |' * width}", f"|{'---|' * width}", *lines])


def _objects(holder: griffe.Module | griffe.Class) -> list[griffe.Object]:
    """Return all that a module or class has, at any depth."""
    found = [one for one in holder.members.values() if isinstance(one, griffe.Object)]
    for one in tuple(found):
        if isinstance(one, griffe.Module | griffe.Class):
            found += _objects(one)
    return found


def _functions(holder: griffe.Module | griffe.Class) -> list[griffe.Function]:
    """Return all functions of a module or class, at any depth."""
    return [one for one in _objects(holder) if isinstance(one, griffe.Function)]


def _decorators(one: griffe.Object) -> list[griffe.Decorator]:
    return one.decorators if isinstance(one, griffe.Function) else []


def _unpacked(parameter: griffe.Parameter, loader: griffe.GriffeLoader) -> griffe.Class | None:
    """Return the ``TypedDict`` of the package that a parameter unpacks."""
    annotation = parameter.annotation
    if not (
        isinstance(annotation, griffe.ExprSubscript) and annotation.canonical_path in UNPACK
    ) or isinstance(annotation.slice, str):
        return None
    try:
        found = loader.modules_collection[annotation.slice.canonical_path]
    except KeyError:  # a type of another package
        return None
    return found if isinstance(found, griffe.Class) else None


def _rows(options: griffe.Class) -> list[griffe.DocstringParameter]:
    return [
        griffe.DocstringParameter(
            name=one.name,
            annotation=one.annotation,
            description=_markdown(one.docstring.value) if one.docstring else "",
        )
        for one in options.attributes.values()
    ]


def _document(
    function: griffe.Function, settings: str, rows: list[griffe.DocstringParameter]
) -> None:
    """Add the rows to the docstring of a function, or of the class that it makes."""
    owner = function.parent if function.docstring is None else function
    if owner is None or owner.docstring is None:
        return
    owner.docstring.value = _markdown(owner.docstring.value)  # it is parsed only once
    sections = owner.docstring.parsed
    for section in sections:
        if isinstance(section, griffe.DocstringSectionParameters):
            section.value = [one for one in section.value if one.name.lstrip("*") != settings]
    title = "Keyword settings, which may be left out:"
    sections.append(griffe.DocstringSectionOtherParameters(rows, title=title))
