-- Versions of the code that differ in the index's schema share a database, each with generations and jobs of its own.
ALTER TABLE index_generations ADD COLUMN fingerprint text NOT NULL DEFAULT '';
DROP INDEX index_generations_one_live;
CREATE UNIQUE INDEX index_generations_one_live ON index_generations (fingerprint) WHERE state = 'live';

ALTER TABLE index_jobs
    ADD COLUMN fingerprint text NOT NULL DEFAULT '',
    -- Of the present phase, so that a rate can be told.
    ADD COLUMN phase_started_at timestamptz,
    ADD COLUMN cancelled_by text,
    -- The generation that it made live, and what was verified before.
    ADD COLUMN generation bigint,
    ADD COLUMN checks jsonb,
    DROP CONSTRAINT index_jobs_kind,
    DROP CONSTRAINT index_jobs_state,
    ADD CONSTRAINT index_jobs_kind CHECK (kind IN ('refresh', 'rebuild', 'rollback', 'repair')),
    ADD CONSTRAINT index_jobs_state CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled'));
DROP INDEX index_jobs_single_flight;
-- One refresh at a time, and one change of the live generation.
CREATE UNIQUE INDEX index_jobs_single_flight ON index_jobs (fingerprint, (kind = 'refresh'))
    WHERE state IN ('queued', 'running');
