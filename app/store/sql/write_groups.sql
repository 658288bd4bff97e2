-- name: plan_by_index
-- How much `$1` holds is not known when a statement is planned. A write has at most some thousand rows to look
-- up, each by its key, in tables of millions.
-- Such plans look dear, but are not worth compiling.
SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
SET LOCAL jit = off;

-- name: begin
-- Waits for nobody for long: neither for a slow transaction nor in a circle.
BEGIN;
-- include: plan_by_index
SET LOCAL lock_timeout = '100ms';

-- name: commit
-- Commits that notify wait for each other's flush, and whether one that gave up came through would not be known.
SET LOCAL lock_timeout = 0; COMMIT;

-- name: roll_back
ROLLBACK;
