-- name: request
-- A new job, or the one of its kind that is already queued or running; then `created` is false.
WITH new AS (
    INSERT INTO index_jobs (kind, requested_by) VALUES ($1, $2)
    ON CONFLICT (kind) WHERE state IN ('queued', 'running') DO NOTHING
    RETURNING id
), told AS (SELECT pg_notify('index_jobs', id::text) FROM new)
SELECT id, true AS created FROM new CROSS JOIN told
UNION ALL
SELECT id, false FROM index_jobs
WHERE kind = $1 AND state IN ('queued', 'running') AND NOT EXISTS (SELECT FROM new)
LIMIT 1;

-- name: take_next
-- The oldest queued job becomes running. What a dead leader left running is taken up again.
UPDATE index_jobs SET state = 'running', started_at = coalesce(started_at, now())
WHERE id = (SELECT id FROM index_jobs WHERE state IN ('queued', 'running') ORDER BY id LIMIT 1)
RETURNING id, kind;

-- name: progress
UPDATE index_jobs SET phase = $2, done = $3, total = $4 WHERE id = $1;

-- name: finish
UPDATE index_jobs SET state = $2, error = $3, finished_at = now() WHERE id = $1;

-- name: read
SELECT id, kind, state, requested_by, requested_at, started_at, finished_at, phase, done, total, error
FROM index_jobs WHERE id = $1;

-- name: add_generation
-- $1: the highest number that Redis knows; Postgres may have been restored to a state before it.
WITH next AS (
    SELECT setval(numbers, greatest(nextval(numbers), $1::bigint + 1)) AS number
    FROM CAST(pg_get_serial_sequence('index_generations', 'number') AS regclass) AS numbers
)
INSERT INTO index_generations (number) OVERRIDING SYSTEM VALUE SELECT number FROM next RETURNING number;

-- name: retire_live_generation
UPDATE index_generations SET state = 'kept' WHERE state = 'live';

-- name: set_live_generation
UPDATE index_generations SET state = 'live', live_at = now(), documents = $2 WHERE number = $1;

-- name: set_generation_state
UPDATE index_generations SET state = $2 WHERE number = $1;

-- name: generations
SELECT number, state, created_at, live_at, documents FROM index_generations
WHERE state <> 'dropped' ORDER BY number DESC;
