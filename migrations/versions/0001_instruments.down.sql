DROP TABLE index_jobs, index_generations, index_leases, api_keys, instrument_tombstones, instrument_history, instruments;
DROP FUNCTION record_instruments(), stamp_instrument(), refuse_change();
