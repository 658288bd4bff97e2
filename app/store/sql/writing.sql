-- name: sign
-- Who makes the changes of this transaction, for the history.
SELECT set_config('registry.actor', $1, true), set_config('registry.request_id', $2, true);

-- name: wait_at_most
SELECT set_config('lock_timeout', $1, true);
