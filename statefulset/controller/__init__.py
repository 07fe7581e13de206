"""Keeps the cluster as it was declared: SafeSecrets, CA bundles, members, the webhook's CA."""
