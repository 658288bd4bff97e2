DROP INDEX instruments_words, instruments_symbol_key, instruments_alias_keys, instruments_identifiers;
DROP FUNCTION folded_words(text), symbol_keys(text[]), symbol_key(text), cluster_timeline();
ALTER TABLE instruments DROP CONSTRAINT instruments_years;
