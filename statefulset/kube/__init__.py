"""The only importers of the kubernetes client here: what the rest needs of an API server, in a few words each."""
