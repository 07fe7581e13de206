"""`safe dev --check`: the promises of the store, tried one after the other on real processes. See run.py."""
