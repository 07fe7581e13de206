"""Adds the sidecar to pods that ask for it: pure (pod, settings) -> patch, and the admission review around it."""
