"""One port of a pod on this machine's loopback, through the API server, as `kubectl port-forward` does it.

Why it exists: whoever may use the cluster's API reaches the store from anywhere; no address of the store has to be
known or published. Bytes are passed on as they are: TLS ends in the pod.
What it refuses to do: listen on anything but 127.0.0.1, repeat a connection that broke, or keep what the API server
said beyond its status.

The right it needs: `get` and, from Kubernetes 1.35 on, `create` of pods/portforward.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import Any, Final

from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward
from urllib3.exceptions import HTTPError

AT_ONCE: Final = 16
"""Connections a listener carries: `safe` uses one or two; the rest is for whoever else finds the port."""
CHUNK: Final = 64 << 10
_STATUS: Final = re.compile(r"[Hh]andshake status (\d{3})")


class Forward:
    """Listens from when it is made until `close`. `port`: the local one. `why`: what became of the last connection
    that failed, "" for none."""

    def __init__(self, configuration: Configuration, namespace: str, pod: str, port: int) -> None:
        self.why = ""
        self._configuration, self._namespace, self._pod, self._far = configuration, namespace, pod, port
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=AT_ONCE)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"forward {pod}", daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                local, _ = self._listener.accept()
            except OSError:
                return
            if self._room.acquire(blocking=False):
                threading.Thread(target=self._carry, args=(local,), daemon=True).start()
            else:
                local.close()

    def _carry(self, local: socket.socket) -> None:
        try:
            with local:
                remote = self._open()
                if remote is None:
                    return
                far = remote.socket(self._far)
                back = threading.Thread(target=_there, args=(local, far), daemon=True)
                back.start()
                _copy(far, local)
                if remote.error(self._far):  # before the connection ends, so that whoever sees the end can read why
                    self.why = "the pod does not take the connection"
                _end(far, local)
                back.join()
                far.close()
        finally:
            self._room.release()

    def _open(self) -> Any:
        """The library's PortForward, None if the API server refuses. A client of its own for each, because the library
        replaces a method of the client while it connects."""
        api = CoreV1Api(ApiClient(self._configuration))
        try:
            return portforward(
                api.connect_get_namespaced_pod_portforward, self._pod, self._namespace, ports=str(self._far)
            )
        except ApiException as error:
            status = _STATUS.search(str(error.reason))
            answered = f"answered with status {status[1]}" if status else "cannot be reached"
            self.why = f"the API server {answered} when asked to forward to the pod"
        except (HTTPError, OSError) as error:
            self.why = f"the API server cannot be reached: {type(error).__name__}"
        return None


def _there(source: Any, target: Any) -> None:
    _copy(source, target)
    _end(source, target)


def _copy(source: Any, target: Any) -> None:
    """Until one of the two has ended."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)


def _end(*both: Any) -> None:
    for each in both:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
