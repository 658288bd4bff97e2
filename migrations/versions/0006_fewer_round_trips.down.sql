DROP FUNCTION require_profile_copies(bigint), take_idempotency_key(text[]);
