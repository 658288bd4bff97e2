DELETE FROM index_jobs WHERE kind IN ('rollback', 'repair') OR state = 'cancelled' OR fingerprint <> '';
UPDATE index_generations SET state = 'dropped' WHERE state = 'live';
DROP INDEX index_jobs_single_flight;
ALTER TABLE index_jobs
    DROP CONSTRAINT index_jobs_kind,
    DROP CONSTRAINT index_jobs_state,
    DROP COLUMN fingerprint,
    DROP COLUMN phase_started_at,
    DROP COLUMN cancelled_by,
    DROP COLUMN generation,
    DROP COLUMN checks,
    ADD CONSTRAINT index_jobs_kind CHECK (kind IN ('refresh', 'rebuild')),
    ADD CONSTRAINT index_jobs_state CHECK (state IN ('queued', 'running', 'done', 'failed'));
CREATE UNIQUE INDEX index_jobs_single_flight ON index_jobs (kind) WHERE state IN ('queued', 'running');
DROP INDEX index_generations_one_live;
ALTER TABLE index_generations DROP COLUMN fingerprint;
CREATE UNIQUE INDEX index_generations_one_live ON index_generations (state) WHERE state = 'live';
