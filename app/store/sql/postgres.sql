-- name: connections_allowed
-- Those that an ordinary user may have, all processes together.
SELECT current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer
    - coalesce(current_setting('reserved_connections', true), '0')::integer;

-- name: schema_revision
-- The last migration that was applied.
SELECT version_num FROM alembic_version;
