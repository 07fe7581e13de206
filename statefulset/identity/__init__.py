"""The identity of a store, made once for all its pods and never again over data that needs another one."""
