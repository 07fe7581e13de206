"""`python -m sidecar.http_request`: one HTTP request to this pod itself, from standard input to output.

Why it exists: http.client would cost the sidecar 1.6 MiB for ever, and an application that does not answer must hold up
nothing; so each request is a short-lived process (see errand.py).
What it refuses to do: another host than this pod (checked again here), a redirect, a proxy, a name look-up, a body.

In: msgpack [method, url, seconds]. Out: msgpack str, "" for a 2xx answer, else one line.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
from typing import Final

import msgpack

from sidecar.rules import address

MAX_ANSWER: Final = 64 << 10
"""Bytes of an answer that are read; what it says is not looked at."""


def request(method: str, url: str, seconds: float) -> str:
    """ "" or why not. `localhost` is 127.0.0.1, then ::1. Raises ValueError for a URL that is not of this pod."""
    hosts, port, path = address(url)
    said = ""
    for host in hosts:
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
        try:
            connection.request(method, path, headers={"Host": f"localhost:{port}", "User-Agent": "safe-sidecar"})
            answer = connection.getresponse()
            with contextlib.suppress(OSError, http.client.HTTPException):  # it has answered, whatever the rest does
                answer.read(MAX_ANSWER)
        except ConnectionRefusedError:
            said = said or f"{method} {url}: connection refused"
            continue
        except (OSError, http.client.HTTPException) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None)
            return f"{method} {url}: {why or type(error).__name__}"
        finally:
            connection.close()
        return "" if 200 <= answer.status < 300 else f"{method} {url}: the answer was {answer.status}"
    return said


def main() -> None:
    method, url, seconds = msgpack.unpackb(sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgpack.packb(request(method, url, seconds)))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
