"""The `safe` command: what an operator types. A client of the nodes' admin API, nothing more. See ../DESIGN.md."""
