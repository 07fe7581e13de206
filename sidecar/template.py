"""`python -m sidecar.template`: render Jinja2 templates in a process of their own, from standard input to output.

Why it exists: Jinja2 costs 4 MiB that a sidecar would carry for ever, and a template may loop or swell without end. A
child gives both back: it has a bound on time and memory, can be killed at any moment, and holds up nothing.
What it refuses to do: open a file, reach an attribute that the sandbox hides, render what is undefined as nothing, or
say a secret value in an error: a message of Jinja2 is repeated only if each of its words, with the signs in it, stands
in the template itself or is one of Jinja2's own.

In: msgpack [own namespace, {name: {field: bytes}}, [[path, template, [names]]], [names taken away]]. Out: msgpack
[{path: bytes}, {path: name}, {path: error}]: the files, those that failed and asked for a secret that was taken away,
and those that failed otherwise, each with one line.
"""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from collections.abc import Callable, Container, Mapping
from typing import Any, Final

import msgpack

from sidecar import memory, render
from sidecar.render import MAX_RENDERED, RenderError
from sidecar.wire import names

MAX_SECONDS: Final = 4
"""Of processor time for all templates together; the sidecar waits a little longer."""
MAX_MEMORY: Final = 128 << 20
"""Bytes of address space beside six times the input: an interpreter with Jinja2 maps about 50 MiB."""
_WORDS: Final = (
    "a access an and argument arguments attribute be bool bytes callable called dict element encountered end "
    "expected field filter for from function got has have int is it list Mapping missing named no None not number "
    "object of on or parse positional required resolved return safely secret sidecar.template.Visible str "
    "StrictUndefined string tag takes template test than that the there to too tuple type undefined unexpected "
    "unknown unsafe was which with you"
)
_JINJA: Final = frozenset(_WORDS.split())
_PART: Final = re.compile(r"""['"(]?(.*?)(?:\(\))?['")]?[.,:;]?""")
"""One part of a message between blanks, without the signs that Jinja2 sets around it."""

Source = tuple[str, str, list[str]]
"""Path of the file, text of the template, full names of the secrets it may see."""


class TooLargeError(Exception):
    """A template writes more than one file may hold."""


class Secrets:
    """What a template asks: `secret("db", "password")`, the field being `value` unless said."""

    def __init__(self, secrets: Visible, own: str) -> None:
        self._secrets = secrets
        self._own = own

    def __call__(self, name: str, field: str = names.PLAIN_FIELD) -> str | bytes:
        found: dict[str, str | bytes] | None = self._secrets.get(render.qualified(str(name), self._own))
        if found is None:
            raise RenderError(f"there is no secret {name}")
        if field not in found:
            raise RenderError(f"{name} has no field {field}")
        return found[field]


class Visible(dict[str, dict[str, str | bytes]]):
    """name -> field -> value, as a template sees it. Notes the first name asked for of those taken away: whatever fails
    after that is put down to it, since a value that must not stay weighs more than a file."""

    def __init__(self, secrets: render.Secrets, taken: Container[str]) -> None:
        super().__init__()
        for name, fields in sorted(secrets.items()):
            self[name] = {field: plain(data) for field, data in sorted(fields.items())}
        self._taken = taken
        self._asked = ""

    def __missing__(self, name: str) -> dict[str, str | bytes]:
        self._note(name)
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self._note(name)
        return super().get(name, default)

    def _note(self, name: str) -> None:
        if not self._asked and name in self._taken:
            self._asked = name


def asked(visible: Visible) -> str:
    """The name of a secret that was taken away and asked for, or ""."""
    return visible._asked  # underscored, so that no template reaches it


def plain(data: bytes) -> str | bytes:
    """Text as str; what is not UTF-8 stays bytes, which only b64encode accepts."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def finalize(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        raise RenderError("a value is not UTF-8 text; use the filter b64encode")
    return value


def b64encode(value: str | bytes) -> str:
    return render.as_text(value.encode("utf-8") if isinstance(value, str) else value, True, "")


def repeatable(message: str, template: str) -> bool:
    """Whether the message holds nothing but Jinja2's words and what stands in the template, signs included."""
    parts = (_PART.fullmatch(part) for part in message.split())
    return all(part is not None and (part[1] in _JINJA or part[1] in template) for part in parts)


def environment() -> Any:
    """The sandbox. Raises ImportError without jinja2."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    found = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=finalize
    )
    filters: dict[str, Callable[[Any], str]] = {
        "sh": lambda value: render.sh(str(value)),
        "json": lambda value: render.quoted_json(str(value)),
        "yaml": lambda value: render.quoted_yaml(str(value)),
        "properties": lambda value: render.properties(str(value)),
        "b64encode": b64encode,
    }
    found.filters.update(filters)
    return found


def line_of(error: BaseException) -> str:
    """Where in the template, if Jinja2 says."""
    lines = [getattr(error, "lineno", None)]
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == "<template>":
            lines.append(at.tb_lineno)
        at = at.tb_next
    return next((f"line {line}: " for line in reversed(lines) if isinstance(line, int)), "")


def explain(error: Exception, template: str) -> str:
    """One line without a value."""
    import jinja2
    from jinja2.exceptions import SecurityError

    if isinstance(error, MemoryError):
        return "it needs too much memory"
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    message, where = str(error), line_of(error)
    if isinstance(error, jinja2.TemplateSyntaxError):  # before the first value is looked at
        return f"{where}syntax: {error.message}"
    if isinstance(error, SecurityError):
        what = "the sandbox forbids it"
    elif isinstance(error, jinja2.UndefinedError):
        what = "something is undefined"
    elif isinstance(error, RenderError):
        what = "a value is missing or unfit"
    else:
        return f"{where}{type(error).__name__}"
    said = repeatable(message, template) or message in FIXED
    return f"{where}{what}: {message}" if said else f"{where}{what}"


FIXED: Final = frozenset(
    {
        "a value is not UTF-8 text; use the filter b64encode",
        "a value with a NUL byte cannot be an environment variable",
    }
)
"""Sentences of our own that hold no word of anybody."""


def one(sandbox: Any, template: str, visible: Visible, own: str) -> bytes:
    """Raises whatever the template does."""
    parts, size = [], 0
    for part in sandbox.from_string(template).generate(secret=Secrets(visible, own), secrets=visible):
        data = part.encode("utf-8")
        size += len(data)
        if size > MAX_RENDERED:
            raise TooLargeError
        parts.append(data)
    return b"".join(parts)


def render_all(
    own: str, secrets: render.Secrets, sources: list[Source], taken: Container[str] = ()
) -> tuple[dict[str, bytes], dict[str, str], dict[str, str]]:
    """({path: content}, {path: the secret of `taken` for want of which it failed}, {path: why not})."""
    try:
        sandbox = environment()
    except ImportError:
        lacking = "a template needs jinja2, which this installation lacks: install raftsafe[template]"
        return {}, {}, {path: f"{path}: {lacking}" for path, _, _ in sources}
    out: dict[str, bytes] = {}
    dropped: dict[str, str] = {}
    failed: dict[str, str] = {}
    for path, template, seen in sources:
        visible = Visible({name: secrets[name] for name in seen}, taken)
        try:
            out[path] = one(sandbox, template, visible, own)
        except TooLargeError:
            failed[path] = f"{path}: it writes more than {MAX_RENDERED} bytes"
        except Exception as error:  # whatever a template can raise is its author's to mend
            if asked(visible):
                dropped[path] = asked(visible)
            else:
                failed[path] = f"{path}: {explain(error, template)}"
    return out, dropped, failed


def confine(size: int) -> None:
    """Bounds for this process: time, memory, no files written, first to be killed when memory is short."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # before conceal(), which gives the files of /proc/self to root
    memory.conceal()
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY + 6 * size,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    data = sys.stdin.buffer.read()
    confine(len(data))
    request: tuple[str, Mapping[str, Mapping[str, bytes]], list[Source], list[str]] = msgpack.unpackb(data)
    sys.stdout.buffer.write(msgpack.packb(render_all(*request)))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
