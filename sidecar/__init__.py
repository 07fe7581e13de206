"""The sidecar: receives pushed secrets and keeps them as whole files in memory. Imports nothing of the node."""
