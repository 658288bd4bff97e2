-- For a writer that has marked copies of the epoch that it knew: refuses the commit that follows if that has ended.
-- Until the transaction ends no other begins (as join_profile_copies has it).
CREATE FUNCTION require_profile_copies(expected bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF expected IS DISTINCT FROM (SELECT epoch FROM join_profile_copies()) THEN
        RAISE EXCEPTION 'Copies of profiles are of another epoch than %.', expected
            USING ERRCODE = 'serialization_failure';
    END IF;
END $$;

-- Whether the transaction alone works under an Idempotency-Key, and the answer that is stored under it. Volatile, so
-- that the answer is looked for after the lock was granted, and sees what its last holder committed.
CREATE FUNCTION take_idempotency_key(
    scope text[],
    OUT is_ours boolean, OUT body_sha256 bytea, OUT profile_id uuid, OUT version integer, OUT answer bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    is_ours := pg_try_advisory_xact_lock(hashtextextended(
        concat_ws(' ', scope[1], scope[2], scope[3], scope[4]), 0));
    IF is_ours THEN
        SELECT record.body_sha256, record.profile_id, record.version, record.answer
        FROM idempotency_records AS record
        WHERE (record.principal, record.method, record.path, record.key) = (scope[1], scope[2], scope[3], scope[4])
          AND record.expires_at > clock_timestamp()
        INTO body_sha256, profile_id, version, answer;
    END IF;
END $$;
