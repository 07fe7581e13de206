"""Codes are an interface: scripts match on their text, so a change must be a decision."""

from __future__ import annotations

from sidecar.wire import codes


def test_the_words_are_what_others_match_on():
    words = {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, str)}
    assert words == {
        "invalid", "not_found", "not_granted", "not_yet_valid", "expired", "deleted", "sealed", "no_quorum",
        "unavailable", "too_large", "conflict", "unauthenticated", "forbidden", "too_many_requests",
        "token_malformed", "token_expired", "token_not_yet_valid", "token_audience", "token_issuer",
        "token_signature", "token_key_unknown", "token_subject", "token_revoked", "version", "no_space", "write_failed", "render_failed",
        "not_placed", "behind",
    }  # fmt: skip


def test_only_five_reasons_remove_a_secret():
    assert {"deleted", "not_granted", "expired", "not_yet_valid", "not_found"} == codes.GONE
