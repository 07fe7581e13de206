"""The namespace that a run makes for itself: made, looked at through the API server, and removed again.

Why it exists: whatever ends a run, what it made goes, and nothing else does: every object carries the run's own mark,
and one by the same name without it is somebody else's.
What it refuses to do: touch a namespace that it has not made, or wait without a deadline.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

from statefulset.chaos import target, workloads
from statefulset.chaos.tally import documents
from statefulset.chaos.workloads import LABEL, NAMESPACES, Made, Run
from statefulset.cli.dev.signals import shield
from statefulset.cli.errors import AWAY, REFUSED, CliError
from statefulset.kube.api import Api
from statefulset.kube.objects import AwayError, ForbiddenError

LOOK: Final = 0.5
"""Seconds between two looks."""
MAKE: Final = 30.0
"""Seconds for an API server, or a webhook behind it, that does not answer at once."""
END: Final = 1
"""Seconds that containers get when the run is over. Not 0: then a pod is gone before its processes are."""
GONE: Final = 120.0
"""Seconds until pods, or the namespace, must be gone."""
MAX_LOG: Final = 32 << 20
"""Bytes read of one log: three times what a kubelet keeps of it by default."""
TAIL: Final = 300


def until(look: Callable[[], str], seconds: float) -> str:
    """Look until nothing is lacking, or time is up: what is lacking then. `look` says what is lacking now; an API
    server that is away is a reason to look again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            lacking = look()
        except AwayError as error:
            lacking = str(error)
        if not lacking or time.monotonic() > deadline:
            return lacking
        time.sleep(LOOK)


class Place:
    """Nothing happens before `make`. `clean` may be called at any time."""

    def __init__(self, api: Api, run: Run) -> None:
        self._api, self.run = api, run
        self._begun = False

    def make(self, authority: str) -> None:
        """Everything but pods. Raises CliError."""
        with shield():
            self._begun = True
            self._create(NAMESPACES, workloads.namespace(self.run))
        for folder, document in workloads.around(self.run, authority):
            self._create(folder, document)

    def start(self, pod: Made) -> Made:
        """The pod as the API server has it. Raises CliError."""
        return self._create(f"{self.run.path}/pods", pod)

    def _create(self, folder: str, document: Made) -> Made:
        name = document["metadata"]["name"]
        what = f"{document['kind']} {name} cannot be made"
        made: list[Made | None] = []

        def look() -> str:
            made.append(self._api.create(folder, document) or self._api.get(f"{folder}/{name}"))
            return ""

        hint = "`safe doctor` looks at the webhook and the rest of the installation"
        try:
            if lacking := until(look, MAKE):
                raise CliError(f"{what}: {lacking}", code="unavailable", exit_code=AWAY, hint=hint)
        except ForbiddenError as error:
            hint = "a quota, a policy or a webhook may refuse it: the logs of safe-control and the API server say more"
            raise CliError(f"{what}: {error}", code="forbidden", exit_code=REFUSED, hint=hint) from None
        found = made[-1]
        if found is None or (found["metadata"].get("labels") or {}).get(LABEL) != self.run.mark:
            # The answer to our own request may have been lost; then the mark is there.
            hint = "run it again: the next one has another name"
            raise CliError(f"{document['kind']} {name} is there already", code="conflict", exit_code=REFUSED, hint=hint)
        return found

    # -- looking -----------------------------------------------------------------------------------------------------

    def pods(self) -> dict[str, Made]:
        """Raises AwayError, ForbiddenError."""
        found = self._api.items(f"{self.run.path}/pods", labelSelector=f"{LABEL}={self.run.mark}")
        return {each["metadata"]["name"]: each for each in found}

    def text(self, name: str) -> str:
        """All that the container of a pod has printed; empty if there is no log. Raises AwayError, ForbiddenError."""
        query = {"container": workloads.CONTAINER, "limitBytes": str(MAX_LOG)}
        return self._api.text(f"{self.run.path}/pods/{name}/log", **query)

    def lines(self, name: str) -> list[dict[str, Any]]:
        return documents(self.text(name))

    def ended(self, name: str, pod: Made) -> str:
        """Why a pod that should run does not, with the end of what it printed; "" if it does."""
        if not target.ended(pod):
            return ""
        told = [line for line in self.text(name).splitlines() if not line.startswith("{")]
        return f"pod {name} ended ({pod['status']['phase']}): {target.why(pod)} {' / '.join(told)[-TAIL:]}".strip()

    # -- removing ----------------------------------------------------------------------------------------------------

    def end_pods(self) -> str:
        """Delete all pods and wait until they are gone. What is left."""

        def look() -> str:
            there = self.pods()
            for name, pod in there.items():
                self._api.delete(f"{self.run.path}/pods/{name}", END, target.uid(pod))
            return ", ".join(there)

        return self._tried(look)

    def clean(self) -> str:
        """Remove the namespace if this run has made it. What is left."""
        if not self._begun:
            return ""
        path = f"{NAMESPACES}/{self.run.namespace}"

        def look() -> str:
            found = self._api.get(path)
            if found is None or (found["metadata"].get("labels") or {}).get(LABEL) != self.run.mark:
                return ""
            if not found["metadata"].get("deletionTimestamp"):
                self._api.delete(path, uid=target.uid(found))
            return "it is still being removed"

        why = self._tried(look)
        return f"namespace {self.run.namespace}: kubectl delete namespace {self.run.namespace} ({why})" if why else ""

    @staticmethod
    def _tried(look: Callable[[], str]) -> str:
        with contextlib.suppress(ForbiddenError):
            return until(look, GONE)
        return "the API server forbids to remove what was made"
