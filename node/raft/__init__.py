"""Replicates opaque bytes: our Raft on pysyncobj's frame. Knows no secret, no HTTP and no Kubernetes."""
