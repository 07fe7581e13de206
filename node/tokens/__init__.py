"""Who is it: the issuer's keys, and tokens verified against them offline. See DESIGN.md."""
