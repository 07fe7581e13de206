"""From facts to findings: what is well, what is not, what to do about it.

Why it exists: an on-call engineer needs the worst thing and its remedy, not a list of numbers.
What it refuses to do: any I/O, or to call well what could not be looked at: that is `skipped`, with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from statefulset.cli.doctor.facts import Facts, Installed, Node, Unknown

Level = Literal["FAIL", "warn", "ok", "skipped"]
ORDER: Final[tuple[Level, ...]] = ("FAIL", "warn", "skipped", "ok")
HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
RENEWAL: Final = 14 * HOUR
"""A node renews its certificate of 24 h every 8 h: with less left than this, one renewal has failed."""
SKEWED: Final = (2000, 10_000)
"""ms: worth a look; the leeway that nodes give the times in tokens, beyond which good tokens are refused."""
SETTLED: Final = 10_000
"""ms in which a new version may be on its way."""
GOING: Final = 300_000
"""ms that the deletion of a SafeSecret may take; the controller does it within seconds."""
NAMED: Final = 3
"""How many of many are named on one line."""
OPTIONAL: Final = ("ClusterRole", "PodDisruptionBudget", "NetworkPolicy")
"""Without them everything works until something else goes wrong."""
NEEDED_ROLES: Final = ("raftsafe-review", "raftsafe-control")


@dataclass(frozen=True)
class Finding:
    check: str
    level: Level
    what: str
    remedy: str = ""


def examine(facts: Facts) -> list[Finding]:
    """At least one finding for each check, worst first."""
    found = [each for check in CHECKS for each in check(facts)]
    return sorted(found, key=lambda each: ORDER.index(each.level))


def summary(found: Sequence[Finding]) -> str:
    """One line, worst first: `FAIL quorum, storage; warn clocks; ok 7; skipped 1`."""
    parts = []
    for level in ORDER:
        checks = list(dict.fromkeys(each.check for each in found if each.level == level))
        if checks:
            parts.append(f"{level} {', '.join(checks)}" if level in ("FAIL", "warn") else f"{level} {len(checks)}")
    return "; ".join(parts)


def few(words: Sequence[str]) -> str:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(words[:NAMED]) + more


def _installed(facts: Facts, check: str) -> Installed | Finding:
    if isinstance(facts.installed, Unknown):
        return Finding(check, "skipped", facts.installed.why)
    return facts.installed


def _answering(facts: Facts) -> list[tuple[Node, Any]]:
    nodes = [] if isinstance(facts.nodes, Unknown) else facts.nodes
    return [(node, node.status) for node in nodes if node.status is not None]


def install(facts: Facts) -> Iterator[Finding]:
    there = _installed(facts, "install")
    if isinstance(there, Finding):
        yield there
        return
    remedy = f"`safe install --namespace {facts.namespace} | kubectl apply -f -` makes what is missing"
    grave = [each for each in there.absent if not each.startswith(OPTIONAL) or each.split()[1].startswith(NEEDED_ROLES)]
    slight = [each for each in there.absent if each not in grave]
    if grave:
        yield Finding("install", "FAIL", f"missing: {few(grave)}", remedy)
    if slight:
        yield Finding("install", "warn", f"missing: {few(slight)}", remedy)
    if there.unread:
        yield Finding("install", "skipped", f"{len(there.documents)} are there; not to be seen: {few(there.unread)}")
    if not there.absent and not there.unread:
        yield Finding("install", "ok", f"{len(there.documents)} objects are there")


def images(facts: Facts) -> Iterator[Finding]:
    there = _installed(facts, "images")
    if isinstance(there, Finding):
        yield there
        return
    if isinstance(there.pods, Unknown):
        yield Finding("images", "skipped", there.pods.why)
        return
    wanted = _image(there.documents.get("StatefulSet safe", {}).get("spec", {}).get("template", {}))
    running = {pod["metadata"]["name"]: _image(pod) for pod in there.pods}
    other = sorted(name for name, image in running.items() if wanted and image != wanted)
    bad = sorted(filter(None, map(_stuck, there.pods)))
    if bad:
        yield Finding("images", "FAIL", few(bad), "load the image on that machine, or correct its name")
    if other:
        what = f"{few(other)} not of the StatefulSet's image {wanted}"
        yield Finding("images", "warn", what, "`kubectl rollout status statefulset/safe` shows whether it goes on")
    if not bad and not other:
        yield Finding("images", "ok", wanted or few(sorted(set(running.values()))) or "no pod is there")


def _image(pod: Any) -> str:
    containers = pod.get("spec", {}).get("containers") or [{}]
    return str(containers[0].get("image") or "")


def _stuck(pod: Any) -> str:
    """Why a container of it does not start for want of its image, "" if it does."""
    status = pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        reason = ((each.get("state") or {}).get("waiting") or {}).get("reason") or ""
        if "Image" in reason:
            return f"{pod['metadata']['name']}: {reason}"
    return ""


def quorum(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.nodes, Unknown):
        remedy = facts.nodes.remedy or f"`kubectl get pods -n {facts.namespace}` shows the store's pods"
        yield Finding("quorum", "skipped" if facts.nodes.refused else "FAIL", facts.nodes.why, remedy)
        return
    up = _answering(facts)
    if not up:
        why = "; ".join(f"{node.server}: {node.failure}" for node in facts.nodes)
        yield Finding("quorum", "FAIL", f"no node answers ({why})", "look at the pods and at their logs")
        return
    with_quorum = [status for _, status in up if status["quorum"]]
    if not with_quorum:
        what = f"no quorum: {len(up)} of {up[0][1]['size']} nodes answer, none sees a majority; writes wait"
        remedy = "bring nodes back until a majority runs; files in pods stay as they are meanwhile"
        yield Finding("quorum", "FAIL", what, remedy)
        return
    led = max(with_quorum, key=lambda status: status["term"])
    what = f"{led['leader']} leads {len(led['voters'])} voters in term {led['term']}"
    yield Finding("quorum", "ok", what)


def members(facts: Facts) -> Iterator[Finding]:
    up = _answering(facts)
    if not up:
        yield Finding("members", "skipped", "no node answers")
        return
    best = max((status for _, status in up), key=lambda status: (status["quorum"], status["term"]))
    wanted, remedy = best["size"], "`safe status` shows each; the log of the pod says more"
    before = []
    if isinstance(facts.installed, Installed):
        replicas = facts.installed.documents.get("StatefulSet safe", {}).get("spec", {}).get("replicas")
        if replicas is not None and replicas != wanted:
            before.append(f"the StatefulSet has {replicas} replicas, the cluster {wanted} members to be")
    if len(best["voters"]) != wanted:
        before.append(f"{len(best['voters'])} of {wanted} members vote")
    if best["learners"]:
        before.append(f"{few(best['learners'])} still learning")
    silent = [] if isinstance(facts.nodes, Unknown) else [node for node in facts.nodes if node.status is None]
    before += [f"{node.server} does not answer: {node.failure}" for node in silent]
    lame = [str(status["node"]) for _, status in up if not status["ready"]]
    if lame:
        before.append(f"{few(lame)} not ready")
    if before:
        yield Finding("members", "warn", "; ".join(before), remedy)
    else:
        yield Finding("members", "ok", f"{len(best['voters'])} of {wanted} vote, all asked are ready")


def versions(facts: Facts) -> Iterator[Finding]:
    up = _answering(facts)
    if not up:
        yield Finding("versions", "skipped", "no node answers")
        return
    said = Counter(str(status["version"]) for _, status in up)
    if len(said) > 1:
        what = "nodes run " + " and ".join(f"{version} ({count})" for version, count in said.most_common())
        yield Finding("versions", "warn", what, "finish the roll-out: `kubectl rollout status statefulset/safe`")
    elif facts.version not in said:
        remedy = "use the command of the store's version"
        yield Finding("versions", "warn", f"nodes run {next(iter(said))}, this command is {facts.version}", remedy)
    else:
        yield Finding("versions", "ok", f"nodes and this command are {facts.version}")


def certificates(facts: Facts) -> Iterator[Finding]:
    nodes = [] if isinstance(facts.nodes, Unknown) else facts.nodes
    left = {node.server: node.expires_ms - facts.now_ms for node in nodes if node.expires_ms is not None}
    authority, ending = "the system's", False
    if not isinstance(facts.authority, Unknown) and facts.authority:
        days = (min(facts.authority) - facts.now_ms) / DAY
        authority = f"{days:.0f} days left"
        ending = days < 90
        if ending:
            level: Level = "FAIL" if days < 14 else "warn"
            remedy = "rotating the authority is planned work: DESIGN.md of statefulset says what it takes"
            yield Finding("certificates", level, f"the store's authority ends in {days:.0f} days", remedy)
    late = sorted(server for server, ms in left.items() if ms < RENEWAL)
    if late:
        worst = min(left.values()) / HOUR
        level = "FAIL" if worst < 1 else "warn"
        remedy = "nodes renew theirs every 8 h; the node's log says why it could not, a restart makes a new one"
        yield Finding("certificates", level, f"{few(late)}: not renewed, {worst:.1f} h left", remedy)
    elif left and not ending:
        hours = min(left.values()) / HOUR
        yield Finding("certificates", "ok", f"nodes' have {hours:.1f} h left and are renewed; authority: {authority}")
    else:
        yield Finding(
            "certificates", "skipped", "none was shown: a socket has none, and who does not answer shows none"
        )


def clocks(facts: Facts) -> Iterator[Finding]:
    known = [node for node, _ in _answering(facts) if node.skew_ms is not None]
    if not known:
        yield Finding("clocks", "skipped", "no node tells its time (none answers, or their version is too old)")
        return
    low = min(known, key=lambda node: (node.skew_ms or 0) + node.unsure_ms)
    high = max(known, key=lambda node: (node.skew_ms or 0) - node.unsure_ms)
    apart = (high.skew_ms or 0) - high.unsure_ms - (low.skew_ms or 0) - low.unsure_ms
    off = min(max(0.0, abs(node.skew_ms or 0) - node.unsure_ms) for node in known)
    if apart > SKEWED[0]:
        what = f"the clocks of {high.server} and {low.server} are {apart / 1000:.1f} s apart"
        remedy = "look at the time service (chrony, ntpd) of their machines: tokens are refused beyond 10 s"
        yield Finding("clocks", "FAIL" if apart > SKEWED[1] else "warn", what, remedy)
    if off > SKEWED[0]:
        what = f"this machine's clock and the nodes' are {off / 1000:.1f} s apart"
        yield Finding("clocks", "warn", what, "look at the time service here; tokens made here may be refused")
    if apart <= SKEWED[0] and off <= SKEWED[0]:
        worst = max(node.unsure_ms for node in known)
        yield Finding("clocks", "ok", f"within {SKEWED[0] / 1000:.0f} s of each other and of ours (±{worst:.0f} ms)")


def rights(facts: Facts) -> Iterator[Finding]:
    remedy = "the ClusterRoleBinding raftsafe-review gives it: `safe install` makes it"
    there = facts.installed
    if facts.reviewed:
        yield Finding("rights", "ok", "nodes can review: they did, to answer us")
    elif isinstance(there, Unknown):
        yield Finding("rights", "skipped", there.why)
    elif isinstance(there.review, Unknown):
        yield Finding("rights", "skipped", f"whether nodes may review: {there.review.why}")
    elif not there.review:
        yield Finding("rights", "FAIL", "nodes may not review tokens and rights: nobody is let in", remedy)
    else:
        yield Finding("rights", "ok", "nodes may review tokens and rights")
    if isinstance(there, Unknown):
        return
    if isinstance(there.may, Unknown):
        yield Finding("access", "skipped", there.may.why)
        return
    no = [what for what, allowed in there.may.items() if not allowed]
    yes = [what for what, allowed in there.may.items() if allowed]
    may = f"you may {', '.join(yes) or 'nothing'}" + (f"; not {', '.join(no)}" if no else "")
    if "see the store" in no:
        yield Finding("access", "warn", may, "somebody has to bind you a role: raftsafe-viewer, for one")
    else:
        yield Finding("access", "ok", may)


def webhook(facts: Facts) -> Iterator[Finding]:
    there = _installed(facts, "webhook")
    if isinstance(there, Finding):
        yield there
        return
    configuration = there.documents.get("MutatingWebhookConfiguration raftsafe")
    deployment = there.documents.get("Deployment safe-control")
    if configuration is None or deployment is None:
        yield Finding("webhook", "skipped", "its configuration or safe-control is missing or may not be looked at")
        return
    logs = f"`kubectl logs -n {facts.namespace} deployment/safe-control` says why"
    hooks = configuration.get("webhooks") or ()
    bad = not hooks or not all((hook.get("clientConfig") or {}).get("caBundle") for hook in hooks)
    if bad:
        what = "caBundle is not set: pods that ask for injection are not made"
        yield Finding("webhook", "FAIL", what, f"safe-control sets it; {logs}")
    wanted, ready = deployment["spec"].get("replicas", 1), (deployment.get("status") or {}).get("readyReplicas") or 0
    if ready < wanted:
        level: Level = "warn" if ready else "FAIL"
        yield Finding("webhook", level, f"{ready} of {wanted} replicas of safe-control are ready", logs)
    if isinstance(there.handshakes, Unknown):
        yield Finding("webhook", "skipped", f"whether caBundle fits the certificates: {there.handshakes.why}")
        return
    wrong = [f"{pod}: {why}" for pod, why in there.handshakes.items() if why]
    if wrong and not bad:
        remedy = f"delete the pod; if that does not help: {logs}"
        yield Finding("webhook", "FAIL", f"not trusted by caBundle, or not reached: {few(wrong)}", remedy)
    if not wrong and not bad and ready >= wanted:
        yield Finding("webhook", "ok", f"{ready} replicas are ready, caBundle fits what they show")


def storage(facts: Facts) -> Iterator[Finding]:
    up = _answering(facts)
    slow = [str(status["node"]) for _, status in up if not status["disk_ok"]]
    if slow:
        remedy = "look at the volume and the machine: full, failing or too slow; see the node's log"
        level: Level = "FAIL" if 2 * len(slow) >= len(up) else "warn"
        yield Finding("storage", level, f"the disk of {few(slow)} does not take writes in time", remedy)
    there = facts.installed
    unbound: list[str] = []
    claims = 0
    if isinstance(there, Installed) and not isinstance(there.claims, Unknown):
        claims = len(there.claims)
        unbound = [
            str(claim["metadata"]["name"])
            for claim in there.claims
            if (claim.get("status") or {}).get("phase") != "Bound"
        ]
        if unbound:
            remedy = "make a volume for it, or name a class: `safe install --storage-class`; kubectl describe pvc"
            yield Finding("storage", "FAIL", f"claims not bound: {few(unbound)}", remedy)
    if slow or unbound:
        return
    if not up:
        yield Finding("storage", "skipped", "no node answers")
        return
    bound = f", {claims} claims are bound" if claims else ""
    yield Finding(
        "storage", "ok", f"disks of {len(up)} nodes take writes{bound}; age of snapshots is not told by nodes"
    )


def sidecars(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.sidecars, Unknown):
        yield Finding("sidecars", "skipped", facts.sidecars.why)
        return
    here = [each for each in facts.sidecars if not each.get("left")]
    refused = [each for each in here if _refused(each)]
    here = [each for each in here if not _refused(each)]
    known = {} if isinstance(facts.versions, Unknown) else facts.versions
    broken = sorted(f"{_pod(each)} ({each['error']})" for each in here if each.get("error"))
    old = sorted(f"{_pod(each)} ({', '.join(names)})" for each in here if (names := _behind(each, known, facts.now_ms)))
    stale = sorted(_pod(each) for each in here if each.get("stale") or each.get("staleness_ms"))
    gone = sorted(_pod(each) for each in here if not each.get("connected"))
    look = "`safe sidecars` and `safe rollout status NAMESPACE/NAME` show each"
    if refused:
        what = f"{len(refused)} refused, they have seen more than this store has: {few(sorted(map(_pod, refused)))}"
        remedy = "if the store was restored from an older backup, recreate these pods; their files stay until then"
        yield Finding("sidecars", "FAIL", what, remedy)
    if broken:
        yield Finding("sidecars", "FAIL", f"{len(broken)} cannot write: {few(broken)}", look)
    if old:
        yield Finding("sidecars", "FAIL", f"{len(old)} without the newest version: {few(old)}", look)
    if stale:
        yield Finding("sidecars", "warn", f"{len(stale)} stale: {few(stale)}", "their node has no quorum; " + look)
    if gone:
        yield Finding("sidecars", "warn", f"{len(gone)} not connected: {few(gone)}", look)
    if not (refused or broken or old or stale or gone):
        of = "" if not isinstance(facts.versions, Unknown) else f" (versions not compared: {facts.versions.why})"
        yield Finding("sidecars", "ok", f"{len(here)} connected, up to date{of}")


def _pod(each: Any) -> str:
    return f"{each['namespace']}/{each['pod']}"


def _refused(each: Any) -> bool:
    """By the node, since it has seen more than this store has."""
    return each.get("error") == "behind" and not each.get("connected")


def _behind(each: Any, known: Any, now_ms: int) -> list[str]:
    return sorted(
        name
        for name, version in each["placed"].items()
        if name in known and version < known[name][0] and now_ms - known[name][1] > SETTLED
    )


def declared(facts: Facts) -> Iterator[Finding]:
    there = _installed(facts, "safesecrets")
    if isinstance(there, Finding):
        yield there
        return
    if isinstance(there.declared, Unknown):
        yield Finding("safesecrets", "skipped", there.declared.why)
        return
    bad, unseen, going = [], [], []
    for each in there.declared:
        conditions = {item["type"]: item for item in (each.get("status") or {}).get("conditions") or ()}
        ready, name = conditions.get("Ready"), _name(each)
        if facts.now_ms - _deleted_ms(each, facts.now_ms) > GOING:
            going.append(name)
        elif ready is None:
            unseen.append(name)
        elif ready["status"] != "True":
            bad.append(f"{name} ({ready.get('reason') or 'no reason'})")
    if going:
        remedy = (
            "their namespaces wait for them. `kubectl describe safesecret` says why; to let one go and leave its "
            "secret in the store, set its spec.deletionPolicy to Retain"
        )
        what = f"{len(going)} should be gone for more than {GOING // 60_000} minutes: {few(sorted(going))}"
        yield Finding("safesecrets", "FAIL", what, remedy)
    remedy = "`kubectl describe safesecret` shows the message"
    if bad:
        yield Finding("safesecrets", "FAIL", f"{len(bad)} not ready: {few(sorted(bad))}", remedy)
    if unseen:
        remedy = "safe-control looks at each within seconds: does it run?"
        yield Finding("safesecrets", "warn", f"{len(unseen)} not looked at yet: {few(sorted(unseen))}", remedy)
    if not bad and not unseen and not going:
        yield Finding("safesecrets", "ok", f"{len(there.declared)} are ready")


def _deleted_ms(each: Any, now_ms: int) -> int:
    """When it was deleted; `now_ms` if it was not."""
    moment = each["metadata"].get("deletionTimestamp")
    return now_ms if not moment else round(datetime.fromisoformat(moment).timestamp() * 1000)


def _name(each: Any) -> str:
    return f"{each['metadata']['namespace']}/{each['metadata']['name']}"


CHECKS: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    quorum,
    members,
    storage,
    certificates,
    clocks,
    versions,
    sidecars,
    declared,
    webhook,
    install,
    images,
    rights,
)
