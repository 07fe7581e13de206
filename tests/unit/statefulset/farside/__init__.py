"""The other side of what we speak to, in memory."""
