"""The run in a cluster: pods of a store are deleted by the plan, while pods in a namespace of its own write and read.

Why it exists: what kubelets, volumes, network and webhook do to the promises only a cluster can show. The judge is that
of `safe chaos local`. Times are those of the writer's machine.
What it refuses to do: delete a pod that it has not just looked at (by uid), or one that does not belong to the store it
was told, and begin on a store that is not whole.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from statefulset.chaos import load, needed, target, workloads
from statefulset.chaos.pace import paced
from statefulset.chaos.place import Place, until
from statefulset.chaos.plan import Kill, Wanted
from statefulset.chaos.tally import Tally, Written, lacking, tallies, written
from statefulset.chaos.target import NODE, NODES, Store, UnfitError
from statefulset.chaos.verdict import Run
from statefulset.chaos.workloads import WRITER, Made
from statefulset.chaos.writer import PATIENCE, versions
from statefulset.cli import tunnel
from statefulset.cli.client import Client
from statefulset.cli.connection import Asked
from statefulset.cli.dev.signals import shield
from statefulset.cli.errors import AWAY, REFUSED, CliError
from statefulset.kube.login import Login
from statefulset.kube.objects import AwayError, ForbiddenError

WHOLE: Final = 30.0
"""Seconds until every node must be ready before anything begins."""
START: Final = 180.0
"""Seconds until a pod of ours must do its work: to be scheduled, and to get its secrets."""
BACK: Final = 300.0
"""Seconds until a deleted node must be ready again; its grace period is 30 of them."""
FORCED: Final = 1
"""Seconds of grace with --force. Not 0: then the API forgets the pod at once, and its kubelet, which never hears of a
shorter period, gives the processes the one in their spec (kubernetes/pkg/kubelet/pod_workers.go)."""
STRIKE: Final = 30.0
"""Seconds for an API server that is away when a pod is to be deleted."""
SETTLE: Final = 60.0
MAX_DURATION: Final = 2 * 3600.0
"""Seconds: kubelets keep 10 MiB of a log by default, and what the writer prints fills that in three hours."""
INJECTED: Final = "raftsafe.io/injected"


def find(entered: Login, namespace: str) -> Store:
    """The store in `namespace`, if it can be aimed at. Raises CliError."""
    api, where = entered.api, f"namespace {namespace} of context {entered.context}"
    with tunnel.told(
        f"the store in {where} cannot be looked at", "a cluster admin may: see statefulset/DESIGN.md, chaos"
    ):
        found = api.get(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{target.SET}")
        hooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        webhook = api.get(f"{hooks}/{target.WEBHOOK}")
    try:
        return target.store(namespace, found, webhook)
    except UnfitError as error:
        hint = "--namespace names where a store is installed; `safe doctor` looks at it"
        raise CliError(str(error), code="not_found", exit_code=REFUSED, hint=hint) from None


def allowed(entered: Login, namespace: str, own: str) -> None:
    """Raises CliError that names each right which is missing. `own`: the namespace the run would make."""
    missing = []
    with tunnel.told("it cannot be asked what you may do", "the API server has to answer SelfSubjectAccessReviews"):
        for told, review in needed.questions(namespace, own):
            answer = entered.api.create(needed.REVIEWS, review)
            if not ((answer or {}).get("status") or {}).get("allowed"):
                missing.append(told)
    if missing:
        hint = "a cluster admin has all of them; statefulset/DESIGN.md has the table (chaos)"
        raise CliError(f"you may not {'; '.join(missing)}", code="forbidden", exit_code=REFUSED, hint=hint)


class Chaos:
    """One run. `path`: of the kubeconfig. `wanted.nodes` is the number of `there.nodes`."""

    def __init__(
        self,
        entered: Login,
        path: str,
        wanted: Wanted,
        there: Store,
        own: workloads.Run,
        said: Callable[[str], None],
    ) -> None:
        self._api, self._wanted, self._there, self._own, self._said = entered.api, wanted, there, own, said
        self._path = path
        self._asked = Asked(entered.context, there.namespace, f"{own.namespace}/{WRITER}", True)
        self._place = Place(entered.api, own)
        self._pods = f"{workloads.NAMESPACES}/{there.namespace}/pods"
        self._known: dict[str, tuple[str, int]] = {}
        self._offset: float | None = None
        self._written = Written()
        self._putting = False
        self._run = Run(wanted.seed, 0.0, quorum=wanted.minority)

    def run(self) -> Run:
        """From the first look to clean-up, which is done whatever happens. Raises CliError."""
        kills = self._wanted.kills()
        self._run.planned = len(kills)
        left: list[str] = []
        try:
            self._set_up()
            self._run.began = self._now()
            for kill in paced(kills, self._wanted.duration):
                if not (self._ours() and self._kill(kill)):
                    break
            self._run.ended = self._now()
            self._collect()
        except ForbiddenError as error:
            raise CliError(str(error), code="forbidden", exit_code=REFUSED) from None
        except AwayError as error:
            raise CliError(str(error), code="unavailable", exit_code=AWAY) from None
        finally:
            with shield():  # bounded in time; an impatient second Ctrl-C would leave pods that write
                left += self._clean_up()
        self._run.problems += [f"left behind: {each}" for each in left]
        return self._run

    # -- beginning ---------------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        self._need("the store is not whole", self._not_ready, WHOLE)
        if missing := until(self._watch, STRIKE):
            raise _failed(missing)
        published = self._api.get(f"{workloads.NAMESPACES}/{self._there.namespace}/configmaps/{tunnel.IDENTITY}")
        authority = ((published or {}).get("data") or {}).get("ca.crt")
        if not authority:
            raise _failed(f"the store has not published its certificate ({tunnel.IDENTITY})")
        self._said(f"making namespace {self._own.namespace}")
        self._place.make(authority)
        self._putting = True
        self._place.start(workloads.writer(self._own, self._there))
        self._need("the writer cannot put the secrets", self._first_writes, START)
        for name in self._own.readers:
            made = self._place.start(workloads.reader(self._own, self._there, name))
            if INJECTED not in (made["metadata"].get("labels") or {}):
                raise _failed(f"pod {name} was made without a sidecar: the webhook does not see this namespace")
        self._need("the readers do not see the secrets", self._first_sights, START)
        self._said(f"{len(self._own.readers)} pods read, one writes")

    def _need(self, what: str, look: Callable[[], str], seconds: float) -> None:
        if missing := until(look, seconds):
            raise _failed(f"{what} after {seconds:g} s: {missing}")

    def _first_writes(self) -> str:
        found = written(self._place.lines(WRITER))
        self._set_clock(found.told)
        if found.ready:
            return ""
        pod = self._place.pods().get(WRITER)
        if pod is None:
            return f"pod {WRITER} is gone"
        if told := self._place.ended(WRITER, pod):
            raise _failed(told)
        return found.failed[-1][1] if found.failed else target.why(pod) or "it has not said anything"

    def _first_sights(self) -> str:
        self._set_clock(written(self._place.lines(WRITER)).told)
        pods = self._place.pods()
        for name in self._own.readers:
            seen = tallies(self._place.lines(name)).get(name, Tally()).seen
            if all(seen.get(secret.name) for secret in load.of_pod(self._own.namespace, name)):
                continue
            if name not in pods:
                return f"pod {name} is gone"
            if told := self._place.ended(name, pods[name]):
                raise _failed(told)
            return f"{name}: {target.why(pods[name]) or 'its sidecar has not got all of its files'}"
        return ""

    def _set_clock(self, told: float) -> None:
        """A line is read a second after it was written at most: the least difference is nearest to the truth."""
        if told:
            late = time.time() - told
            self._offset = late if self._offset is None else min(self._offset, late)

    def _now(self) -> float:
        return time.time() - (self._offset or 0.0)

    # -- deleting ----------------------------------------------------------------------------------------------------

    def _nodes(self) -> dict[str, Made]:
        return {each["metadata"]["name"]: each for each in self._api.items(self._pods, labelSelector=NODES)}

    def _not_ready(self, gone: tuple[str, ...] = ()) -> str:
        names = target.waiting(self._there.nodes, self._nodes().values(), gone)
        return f"{', '.join(names)} not ready" if names else ""

    def _watch(self) -> str:
        """What happens to nodes that we did not do is part of the verdict. Nothing is lacking then."""
        for name, pod in self._nodes().items():
            found = (target.uid(pod), target.restarts(pod).get(NODE, 0))
            known = self._known.setdefault(name, found)
            if known[0] != found[0]:
                self._run.problems.append(f"{name} was replaced by somebody else")
            elif known[1] < found[1]:
                self._run.problems.append(f"{name} restarted by itself: {target.why(pod) or 'its log says why'}")
            self._known[name] = found
        return ""

    def _ours(self) -> bool:
        """Whether our own pods still run; else it is of no use to go on."""
        problems: list[str] = []

        def look() -> str:
            problems[:] = self._unwell()
            return ""

        until(look, STRIKE)
        self._run.problems += problems
        return not problems

    def _unwell(self) -> list[str]:
        pods, out = self._place.pods(), []
        for name in (WRITER, *self._own.readers):
            if name not in pods:
                out.append(f"pod {name} is gone")
                continue
            if told := self._place.ended(name, pods[name]):
                out.append(told)
            out += [f"{name}: {each} was restarted" for each, times in target.restarts(pods[name]).items() if times]
        return out

    def _kill(self, kill: Kill) -> bool:
        """Whether all of them are ready again."""
        if missing := until(self._watch, STRIKE):
            self._run.problems.append(f"the pods cannot be looked at: {missing}")
            return False
        uids = {name: uid for name, (uid, _) in self._known.items() if name in kill.pods}
        self._said(f"deleting {', '.join(kill.pods)}{' by force' if self._wanted.force else ''}")
        self._run.kills.append((self._now(), kill.pods))
        grace = FORCED if self._wanted.force else None
        for name, uid in uids.items():
            if missing := until(functools.partial(self._delete, name, grace, uid), STRIKE):
                self._run.problems.append(f"{name} cannot be deleted: {missing}")
            self._known.pop(name)
        began, gone = time.monotonic(), tuple(uids.values())
        if missing := until(lambda: self._not_ready(gone), BACK):
            self._run.problems.append(f"{missing} {BACK:g} s after {', '.join(kill.pods)} went")
            return False
        self._said(f"all are ready again after {time.monotonic() - began:.1f} s")
        return True

    def _delete(self, name: str, grace: int | None, uid: str) -> str:
        self._api.delete(f"{self._pods}/{name}", grace, uid)
        return ""

    # -- the end -----------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        run = self._run
        self._ours()
        if missing := until(self._watch, STRIKE):
            run.problems.append(f"the pods cannot be looked at: {missing}")
        self._said("waiting for the last write to arrive")
        missing = until(self._last_words, workloads.GRACE)
        if not self._written.ended:
            run.problems.append(f"the writer's last words did not come {missing}".strip())
        found = self._written
        run.acks, run.tried = found.acks, found.tried
        run.failed = [each for each in found.failed if each[0] >= run.began]
        if found.problem:
            run.problems.append(f"a writer ended: {found.problem}")
        until(self._settled, SETTLE)  # what is not there then is a lost write, and the judge says so
        try:
            with self._store() as client:
                run.final = dict(versions(client, run.tried))
        except CliError as error:
            run.problems.append(f"the store cannot be asked for its versions: {error.message}")

    def _last_words(self) -> str:
        """Ends the writer, which finishes what it has begun, says so, and waits a while for us to read it."""
        pod = self._place.pods().get(WRITER)
        lines = self._place.lines(WRITER)
        found = written(lines)
        if len(found.acks) >= len(self._written.acks):
            self._written = found
        if self._written.ended:
            if lacking(lines):
                self._run.problems.append("lines of the writer's log are missing")
            return ""
        if pod is None or target.ended(pod):
            return ""  # nothing more will come
        if not pod["metadata"].get("deletionTimestamp"):
            self._api.delete(f"{self._own.path}/pods/{WRITER}", None, target.uid(pod))
        return "it is still writing"

    def _settled(self) -> str:
        newest = {ack.secret: ack.number for ack in self._run.acks}
        behind, missing = [], []
        for name in self._own.readers:
            lines = self._place.lines(name)
            self._run.tallies |= tallies(lines)
            if name not in self._run.tallies or not self._run.tallies[name].has(newest):
                behind.append(name)
            if lacking(lines):
                missing.append(f"lines of the log of {name} are missing")
        if not behind:
            self._run.problems += missing
        return ", ".join(behind)

    @contextmanager
    def _store(self) -> Iterator[Client]:
        """As the writer's account, through the API server. Raises CliError."""
        with Client(tunnel.connect(self._path, self._asked), PATIENCE) as client:
            yield client

    def _clean_up(self) -> list[str]:
        """Whatever was made goes. What is left, with the remedy."""
        out: list[str] = []
        if self._putting:
            self._said("removing what was made")
            if left := self._place.end_pods():
                out.append(f"pods of {self._own.namespace}: {left}")
            out += self._purge()
        if left := self._place.clean():
            out.append(left)
        for line in out:
            self._said(f"left behind: {line}")
        return out

    def _purge(self) -> list[str]:
        left = list(self._own.secrets)
        try:
            with self._store() as client:
                while left:
                    try:
                        client.change("POST", f"/v1/secrets/{left[0]}/purge")
                    except CliError as error:
                        if error.code != "not_found":
                            raise
                    left.pop(0)
        except CliError as error:
            return [f"secret {name}: safe purge {name} ({error.message})" for name in left]
        return []


def _failed(message: str) -> CliError:
    return CliError(message, code="not_ready", exit_code=REFUSED, hint="`safe doctor` looks at the installation")
