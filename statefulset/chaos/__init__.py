"""Pods are killed by a plan while secrets are rotated and read, and what was seen is judged."""
