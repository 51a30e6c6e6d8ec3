"""Write the pages of docs/ that are made from the code: settings.md and errors.md.

`python docs/generate.py` writes them; `--check` only says whether they are what it would write.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from service import errors
from service.http.middleware.error_responses import CODES, MESSAGES
from service.settings import Settings

DOCS = Path(__file__).resolve().parent
SERVICE = DOCS.parent / "service"
COMMANDS = SERVICE / "commands"

SETTINGS_HEAD = """\
# Settings

Every setting is an environment variable. A value that is not allowed is refused at the start, by
the variable's name. `cxr serve` and the other commands have options for the most used of them; an
option wins over the variable.

This page is made from `service/settings.py` by `python docs/generate.py`.

| variable | default | allowed | meaning |
| --- | --- | --- | --- |
"""

ERRORS_HEAD = """\
# Errors

Every error answer has one shape, whatever went wrong:

```json
{"error": {"code": "not_an_image", "message": "One sentence for a person.", "detail": {}}}
```

`code` is stable and meant for programs. `message` is for people and may change. `detail` holds what
a program may need, such as a limit; where a message has any, they are named behind it. In
`cxr score` the code is the row's `status`.

Below are the messages of every code. A word in *italics* stands for what differs from case to case.

This page is made from the code by `python docs/generate.py`.

"""

STATUS_MEANINGS = {
    400: "The request or the image is damaged. Sending it again does not help.",
    401: "An API key is needed. The header `WWW-Authenticate` names the scheme, `ApiKey`.",
    404: "The address is wrong.",
    405: "The address is right and the HTTP method is not. The header `Allow` names the right one.",
    408: "The request was sent too slowly.",
    413: "The request or the image is over a limit. [settings.md](settings.md) has the limits.",
    415: "The file is of no format that is read. [files.md](files.md) has the formats.",
    422: "The image can be read and is not to be scored, or a field has no value that is allowed.",
    429: "There is too much work at this moment. The header `Retry-After` has the seconds to wait.",
    500: "The service failed. Its log has the cause.",
    503: "A part of the service is down, starting or shutting down. Trying again later helps.",
    504: "The answer would have come after the deadline. Trying again later may help.",
}
"""What each HTTP status means for a caller."""


def settings_page() -> str:
    """The page of all settings, in the order of `service/settings.py`."""
    rows = [
        f"| `CXR_{name.upper()}` | {_default(field)} | {_allowed(field)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return SETTINGS_HEAD + "".join(rows)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "`models/demo`; in a bento, the model it was built with"
    value = field.default
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1 << 20 and value % (1 << 20) == 0:
        return f"`{value}` ({value >> 20} MiB)"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    choices = [choice for part in _union(field.annotation) for choice in _literals(part)]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if bool in _union(field.annotation):
        return "`true`, `false`"
    bounds = []
    for limit in field.metadata:
        match limit:
            case Ge(ge=bound):
                bounds.append(f"at least {bound:g}" if bound < 1e6 else f"at least {bound}")
            case Gt(gt=bound):
                bounds.append(f"over {bound:g}")
            case Le(le=bound):
                bounds.append(f"at most {bound:g}" if bound < 1e6 else f"at most {bound}")
            case Lt(lt=bound):
                bounds.append(f"under {bound:g}")
    return ", ".join(bounds) or ("a path" if Path in _union(field.annotation) else "text")


def _union(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; the annotation itself where it is none."""
    if get_origin(annotation) is Literal:
        return (annotation,)
    return get_args(annotation) or (annotation,)


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


@dataclass(frozen=True, order=True)
class RaisedError:
    """An error as a module raises it.

    Attributes:
        status: HTTP status.
        code: The code in the answer.
        message: What the answer says, as Markdown; words in italics differ from case to case.
        detail: Names of the facts in the answer's `detail`.
    """

    status: int
    code: str
    message: str
    detail: tuple[str, ...] = ()


def errors_page() -> str:
    """The page of all errors that a request can meet, by status and code."""
    sections = [ERRORS_HEAD]
    raised = sorted({*_raised(), *_framework_errors()})
    for status, of_status in groupby(raised, lambda error: error.status):
        sections.append(f"## {status}\n\n{STATUS_MEANINGS[status]}\n\n")
        for code, of_code in groupby(of_status, lambda error: error.code):
            sections.append(f"### `{code}`\n\n")
            for message, same in groupby(of_code, lambda error: error.message):
                sections.append(f"- {message}{_detail(same)}\n")
            sections.append("\n")
    return "".join(sections).rstrip() + "\n"


def _detail(raised: Iterable[RaisedError]) -> str:
    """A sentence about the facts that come with a message; "" where there are none."""
    names = dict.fromkeys(name for error in raised for name in error.detail)
    return f" Detail: {', '.join(f'`{name}`' for name in names)}." if names else ""


def _framework_errors() -> Iterator[RaisedError]:
    """The errors that BentoML's router or server answers, as the service rewrites them."""
    for status, message in MESSAGES.items():
        yield RaisedError(status, CODES[status], message)


def _raised() -> Iterator[RaisedError]:
    """Every construction of a client's or server's fault in service/ with a message of its own."""
    kinds: dict[str, type[errors.CxrError]] = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.ClientFault | errors.ServerFault)
    }
    for path in sorted(SERVICE.rglob("*.py")):
        if COMMANDS in path.parents:  # what a command prints is no answer to a request
            continue
        module = ast.parse(path.read_text(encoding="utf-8"))
        constants = _assigned(module.body)
        for scope in _scopes(module):
            local = _assigned(list(_own_nodes(scope)))
            for node in _own_nodes(scope):
                if isinstance(node, ast.Call) and node.args:
                    yield from _of_call(node, kinds, constants | local)


def _of_call(
    call: ast.Call, kinds: dict[str, type[errors.CxrError]], assigned: dict[str, list[ast.expr]]
) -> Iterator[RaisedError]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else None
    name = call.func.id if isinstance(call.func, ast.Name) else name
    if name not in kinds:
        return
    keywords = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    code = keywords.pop("code", None)
    if code is not None and not isinstance(code, ast.Constant):
        return
    kind = kinds[name]
    value = code.value if isinstance(code, ast.Constant) else kind.code
    detail: tuple[str, ...] = ("retry_after",) if issubclass(kind, errors.Overloaded) else ()
    detail += tuple(word for word in keywords if word not in detail)
    for message in _texts(call.args[0], assigned):
        # A sentence that is nothing but a placeholder tells a reader nothing.
        yield RaisedError(kind.status, str(value), re.sub(r" \*\w+\*$", "", message), detail)


def _scopes(module: ast.Module) -> Iterator[ast.AST]:
    """The module and every function in it."""
    yield module
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _own_nodes(child)


def _assigned(nodes: Sequence[ast.AST]) -> dict[str, list[ast.expr]]:
    """The expressions that are assigned to each name."""
    values: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
    return values


def _texts(node: ast.expr, assigned: dict[str, list[ast.expr]]) -> list[str]:
    """The texts that a string expression may have, as Markdown.

    Args:
        node: The expression.
        assigned: What names stand for; a name that is not there, or whose values are no texts,
            is a placeholder.

    Returns:
        One text for each branch of the expression; none where it is no string.
    """
    texts: list[str] = []
    match node:
        case ast.Constant(value=str(text)):
            texts = [re.sub(r"\{(\w+)(?:!\w)?\}", r"*\1*", text.replace("|", "\\|"))]
        case ast.JoinedStr(values=parts):
            choices = [
                _texts(part.value, assigned) or [_placeholder(part.value)]
                if isinstance(part, ast.FormattedValue)
                else _texts(part, assigned)
                for part in parts
            ]
            texts = ["".join(chosen) for chosen in product(*choices)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            pairs = product(_texts(left, assigned), _texts(right, assigned))
            texts = ["".join(pair) for pair in pairs]
        case ast.IfExp(body=body, orelse=orelse):
            texts = [*_texts(body, assigned), *_texts(orelse, assigned)]
        case ast.Call(func=ast.Attribute(value=text, attr="format")):
            texts = _texts(text, assigned)
        case ast.Subscript(value=text, slice=ast.Slice(lower=None, upper=ast.expr() as upper)):
            texts = [whole[: ast.literal_eval(upper)] for whole in _texts(text, assigned)]
        case ast.Name(id=name) if name in assigned:
            others = {key: value for key, value in assigned.items() if key != name}
            texts = [text for value in assigned[name] for text in _texts(value, others)]
    return texts


def _placeholder(node: ast.expr) -> str:
    """The name of a value that a message is filled with, in italics."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return f"*{name.strip('_').replace('_', ' ')}*"
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return f"*{name}*"
        case ast.Subscript(value=value) | ast.BinOp(left=value):
            return _placeholder(value)
        case ast.Call(func=ast.Attribute(value=value)) | ast.Call(args=[value, *_]):
            return _placeholder(value)
    return "*…*"


PAGES = {"settings.md": settings_page, "errors.md": errors_page}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages, or with `--check` exit with 1 where one is not up to date.

    Args:
        arguments: Of the command line; the process's own where left out.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if stale")
    check = parser.parse_args(arguments).check
    stale = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if stale and check:
        sys.exit(f"{', '.join(stale)}: not up to date; run python docs/generate.py")


if __name__ == "__main__":
    main()
