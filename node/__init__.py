"""A safe node: one voter of the replicated secrets store. Wiring is in __main__, everything else below it."""
