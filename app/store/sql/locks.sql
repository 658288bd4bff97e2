-- name: take
SELECT pg_advisory_xact_lock($1);

-- name: try_take
SELECT pg_try_advisory_xact_lock($1);
