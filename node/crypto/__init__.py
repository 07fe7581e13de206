"""Keys and what they protect: AES-256-GCM for data at rest, TLS 1.3 certificates for data in motion."""
