"""The wire between a node and a sidecar: pure bytes in, messages out. Both ends import it; it does no I/O."""
