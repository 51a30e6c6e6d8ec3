"""Write the pages of docs/ that are made from the code: settings.md and errors.md.

`python docs/generate.py` writes them; `--check` only says whether they are what it would write.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from service import errors
from service.settings import Settings

DOCS = Path(__file__).resolve().parent
SERVICE = DOCS.parent / "service"

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

`code` is stable and meant for programs, `message` for people, `detail` holds what a program may
need (a limit, what was allowed). In `cxr score` the code is the row's `status`. 429 carries
`Retry-After` in seconds.

This page is made from the code by `python docs/generate.py`.

"""


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
    return ", ".join(bounds) or "text"


def _union(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; the annotation itself where it is none."""
    if get_origin(annotation) is Literal:
        return (annotation,)
    return get_args(annotation) or (annotation,)


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


@dataclass(frozen=True, order=True)
class RaisedError:
    """An error as some module raises it.

    Attributes:
        status: HTTP status.
        code: The code in the answer.
        message: What the answer says; `…` stands for what differs from case to case.
    """

    status: int
    code: str
    message: str


def errors_page() -> str:
    """The page of all errors that a request can meet, by status and code."""
    sections = [ERRORS_HEAD]
    raised = sorted(set(_raised()))
    for status in sorted({error.status for error in raised}):
        sections.append(f"## {status}\n\n| code | message |\n| --- | --- |\n")
        by_code: dict[str, list[str]] = {}
        for error in raised:
            if error.status == status:
                by_code.setdefault(error.code, []).append(error.message)
        for code, messages in by_code.items():
            sections.append(f"| `{code}` | {'<br>'.join(messages)} |\n")
        sections.append("\n")
    return "".join(sections).rstrip() + "\n"


def _raised() -> Iterator[RaisedError]:
    """Every construction of a client's or server's fault in service/ with a literal message."""
    kinds: dict[str, type[errors.CxrError]] = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.ClientFault | errors.ServerFault)
    }
    for path in sorted(SERVICE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else None
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name not in kinds:
                continue
            message = _text(node.args[0])
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            code = keywords.get("code")
            if message is None or (code is not None and not isinstance(code, ast.Constant)):
                continue
            kind = kinds[name]
            value = code.value if isinstance(code, ast.Constant) else kind.code
            yield RaisedError(kind.status, str(value), message.replace("|", "\\|"))


def _text(node: ast.expr) -> str | None:
    """A string expression as text, `…` for each part that is filled in; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            texts = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
            return "".join(str(text) for text in texts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = _text(left), _text(right)
            return None if None in sides else f"{sides[0]}{sides[1]}"
    return None


PAGES = {"settings.md": settings_page, "errors.md": errors_page}


def main() -> None:
    """Write the pages, or with `--check` exit with 1 where one is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if stale")
    check = parser.parse_args().check
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
