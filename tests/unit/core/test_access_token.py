from __future__ import annotations

from orchestrator.core.access_token import AccessToken, Role, hash_token
from orchestrator.core.structs import replace

TOKEN = AccessToken(name="ci", role=Role.READER, hash=hash_token(b"secret"), created_at=1.0, created_by="anna")


def test_token_matches_its_own_text_only() -> None:
    assert TOKEN.matches(hash_token(b"secret"))
    assert not TOKEN.matches(hash_token(b"Secret"))
    assert not TOKEN.matches("secret")


def test_revoked_token_matches_nothing() -> None:
    assert not replace(TOKEN, revoked_at=2.0).matches(hash_token(b"secret"))
    assert not replace(TOKEN, revoked_at=0.0).matches(hash_token(b"secret"))


def test_stored_hash_of_a_token_is_unchanged() -> None:
    assert hash_token(b"secret") == "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
