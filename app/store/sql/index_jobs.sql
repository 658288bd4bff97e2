-- name: request
-- A new job, or the one in its way that is already queued or running; then `created` is false. $3: fingerprint.
WITH new AS (
    INSERT INTO index_jobs (kind, requested_by, fingerprint) VALUES ($1, $2, $3)
    ON CONFLICT (fingerprint, (kind = 'refresh')) WHERE state IN ('queued', 'running') DO NOTHING
    RETURNING id, kind
), told AS (SELECT pg_notify('index_jobs', id::text) FROM new)
SELECT id, kind, true AS created FROM new CROSS JOIN told
UNION ALL
SELECT id, kind, false FROM index_jobs
WHERE (kind = 'refresh') = ($1 = 'refresh') AND fingerprint = $3 AND state IN ('queued', 'running')
  AND NOT EXISTS (SELECT FROM new)
LIMIT 1;

-- name: take_next
-- The oldest queued job becomes running. What a dead leader left running is taken up again.
UPDATE index_jobs SET state = 'running', started_at = coalesce(started_at, clock_timestamp())
WHERE id = (SELECT id FROM index_jobs WHERE state IN ('queued', 'running') AND fingerprint = $1
            ORDER BY id LIMIT 1)
RETURNING id, kind, generation;

-- name: aim
-- Before a rollback: the generation that it makes live. Carried out again, it shall not go back once more.
UPDATE index_jobs SET generation = $2 WHERE id = $1;

-- name: progress
-- Who cancelled it, if anybody.
UPDATE index_jobs
SET phase = $2, done = $3, total = $4,
    phase_started_at = CASE WHEN phase IS DISTINCT FROM $2 THEN clock_timestamp() ELSE phase_started_at END
WHERE id = $1
RETURNING cancelled_by;

-- name: finish
UPDATE index_jobs
SET state = $2, error = $3, generation = $4, checks = $5, finished_at = clock_timestamp()
WHERE id = $1;

-- name: cancel
-- What waits is cancelled at once, what runs as soon as the leader sees it. No row: it has ended.
UPDATE index_jobs
SET cancelled_by = coalesce(cancelled_by, $2),
    state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END
WHERE id = $1 AND fingerprint = $3 AND state IN ('queued', 'running')
RETURNING id;

-- name: job_columns
       id, kind, state, requested_by, requested_at, started_at, finished_at, phase, done, total,
       extract(epoch FROM clock_timestamp() - phase_started_at)::float8 AS phase_s,
       cancelled_by, generation, checks::text, error

-- name: read
SELECT
-- include: job_columns
FROM index_jobs WHERE id = $1 AND fingerprint = $2;

-- name: page
-- The newest $3 with an id below $2 (or NULL), newest first. $1: fingerprint.
SELECT
-- include: job_columns
FROM index_jobs WHERE fingerprint = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3;

-- name: add_generation
-- $1: the highest number that Redis knows; Postgres may have been restored to a state before it. $2: fingerprint.
WITH next AS (
    SELECT setval(numbers, greatest(nextval(numbers), $1::bigint + 1)) AS number
    FROM CAST(pg_get_serial_sequence('index_generations', 'number') AS regclass) AS numbers
)
INSERT INTO index_generations (number, fingerprint) OVERRIDING SYSTEM VALUE
SELECT number, $2 FROM next RETURNING number;

-- name: retire_live_generation
UPDATE index_generations SET state = 'kept' WHERE state = 'live' AND fingerprint = $1;

-- name: set_live_generation
UPDATE index_generations SET state = 'live', live_at = now(), documents = $2 WHERE number = $1;

-- name: set_generation_state
UPDATE index_generations SET state = $2 WHERE number = $1;

-- name: generations
SELECT number, state, created_at, live_at, documents FROM index_generations
WHERE state <> 'dropped' AND fingerprint = $1 ORDER BY number DESC;

-- name: drop_generations
UPDATE index_generations SET state = 'dropped' WHERE fingerprint = $1;
