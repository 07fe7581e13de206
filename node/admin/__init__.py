"""The admins' door of a node: HTTPS and JSON under /v1, a dozen routes. See DESIGN.md."""
