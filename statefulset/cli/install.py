"""`safe install`: prints the manifests of an installation, for `kubectl apply -f -`.

Why it exists: the same documents as the kustomization, with the few choices people make, from the installed package.
What it refuses to do: speak to a cluster. What it prints can be read, kept in git and compared before anybody applies
it, with the rights of whoever applies it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from statefulset.cli import output
from statefulset.cli.errors import usage

if TYPE_CHECKING:
    from statefulset.manifests import Document

HEAD: Final = """\
# raftsafe with {replicas} nodes. Applied again it sets that number again, whatever `kubectl scale` has made of it, and
# the store lets go of members beyond it: say --replicas each time.
"""
PURPOSE: Final = {
    "Namespace": "held to the restricted Pod Security Standard",
    "ServiceAccount": "who its pods are",
    "Role": "rights in the namespace",
    "RoleBinding": "gives them",
    "ClusterRole": "rights in the whole cluster",
    "ClusterRoleBinding": "gives them",
    "Service": "a stable name",
    "NetworkPolicy": "who may connect",
    "PodDisruptionBudget": "one pod at a time",
    "StatefulSet": "the nodes",
    "Deployment": "webhook and controller",
    "CustomResourceDefinition": "secrets that may lie in git",
    "MutatingWebhookConfiguration": "injects the sidecar into pods that ask",
    "ValidatingAdmissionPolicy": "who may hand out a secret by a SafeSecret",
    "ValidatingAdmissionPolicyBinding": "puts it in force",
    "ServiceMonitor": "tells Prometheus what to scrape",
    "PrometheusRule": "alerts",
}


@click.command(short_help="Print the Kubernetes manifests.")
@click.option("--replicas", type=click.Choice(["3", "5"]), default="3", show_default=True, help="How many nodes.")
@click.option("--namespace", default="raftsafe", show_default=True, metavar="NAME", help="Made if it is not there.")
@click.option(
    "--image", metavar="IMAGE", help="The node's image. Default: the one that statefulset/images/build makes."
)
@click.option("--control-image", metavar="IMAGE", help="The image of webhook and controller.")
@click.option("--sidecar-image", metavar="IMAGE", help="The image that is injected into pods.")
@click.option(
    "--storage-class",
    metavar="NAME",
    help="StorageClass of the volumes; '' for volumes without one, made by hand. Default: the cluster's default class.",
)
@click.option("--storage-size", metavar="SIZE", help="Size of each volume, for example 4Gi.")
@click.option("--ephemeral", is_flag=True, help="No volumes: a pod that is deleted loses its data. To try it out.")
@click.option(
    "--service-monitor",
    metavar="NAMESPACE/SERVICEACCOUNT",
    help="Let this Prometheus scrape the nodes (Prometheus operator), with alerts. It has to mount a token: see "
    "statefulset/components/monitoring/scrape.yaml.",
)
@click.option("--review", is_flag=True, help="List what would be applied, and every right it gives, instead of YAML.")
def install(
    replicas: str,
    namespace: str,
    image: str | None,
    control_image: str | None,
    sidecar_image: str | None,
    storage_class: str | None,
    storage_size: str | None,
    ephemeral: bool,
    service_monitor: str | None,
    review: bool,
) -> None:
    """Print the manifests of a raftsafe installation. Nothing is applied.

    \b
    Install, or change an installation:
      safe install | kubectl apply -f -
      kubectl -n raftsafe rollout status statefulset/safe
    With 5 nodes say --replicas 5 each time: applying 3 again scales down to 3.
    \b
    Keep a copy of the root key, or losing it loses every secret:
      kubectl -n raftsafe get secret raftsafe-identity -o yaml > somewhere-safe.yaml
    \b
    Look before you apply:
      safe install --review
      safe install | kubectl diff -f -
    \b
    Remove it, with its namespace, its root key and its claims: every secret is gone. SafeSecrets first, while there is
    somebody who takes them out of the store:
      kubectl delete safesecrets --all --all-namespaces
      safe install | kubectl delete -f -
    """
    from statefulset import manifests

    try:
        options = manifests.Options(
            replicas=int(replicas),
            namespace=namespace,
            image=image,
            control_image=control_image,
            sidecar_image=sidecar_image,
            storage_class=storage_class,
            storage_size=storage_size,
            ephemeral=ephemeral,
            monitor=service_monitor,
        )
    except manifests.ManifestError as error:
        raise usage(str(error), "see `safe install --help`") from None
    documents = manifests.install(manifests.load(), options)
    text = HEAD.format(replicas=replicas) + manifests.render(documents).rstrip("\n")
    output.say(table(documents) if review else text)


def table(documents: list[Document]) -> str:
    """What there is, and below it each right of each role."""
    rows = [
        (
            document["kind"],
            document["metadata"].get("namespace", "-"),
            document["metadata"]["name"],
            PURPOSE.get(document["kind"], ""),
        )
        for document in documents
    ]
    listing = output.table(("KIND", "NAMESPACE", "NAME", "WHAT FOR"), rows)
    from statefulset import rights

    return f"{listing}\n\n{output.table(rights.HEAD, rights.table(documents))}"
