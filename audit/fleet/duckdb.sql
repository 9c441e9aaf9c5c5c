-- The journals of many dom0s in one place, in DuckDB: straight from the files, nothing converted before.
--
-- Put each machine's segments, and its HEAD, in a folder of its name: /srv/dom0s/MACHINE/000000000000.jsonl. Then
--     duckdb -init audit/fleet/duckdb.sql
-- and ask `machines`, `broken`, `met_and_came_back`; the format is in qubes-dom0-pci-journal(5). What these views call
-- altered or healed is said by place and in words by `qubes-dom0-pci audit verify --journal FOLDER`.

-- Every line of every segment, in its order. One byte is one character here: what is not ASCII is no record anyway.
CREATE OR REPLACE TABLE lines AS
SELECT regexp_extract(filename, '([^/]+)/[0-9]+[.]jsonl$', 1) AS machine,
       regexp_extract(filename, '([0-9]+)[.]jsonl$', 1) AS segment,
       row_number() OVER () AS pos,
       coalesce(line, '') AS line
FROM read_csv('/srv/dom0s/*/*.jsonl', columns = {'line': 'VARCHAR'}, header = false, auto_detect = false, filename = true,
              delim = chr(1), quote = '', escape = '', new_line = '\n', encoding = 'latin-1', null_padding = false);

-- What the writer committed last; the first line of HEAD.
CREATE OR REPLACE TABLE heads AS
SELECT regexp_extract(filename, '([^/]+)/HEAD$', 1) AS machine,
       try_cast(regexp_extract(content, '^([0-9]+) [0-9a-f]{64} ', 1) AS BIGINT) AS seq,
       regexp_extract(content, '^[0-9]+ ([0-9a-f]{64}) ', 1) AS hash
FROM read_text('/srv/dom0s/*/HEAD')
WHERE seq IS NOT NULL;

-- The checkpoints that were kept elsewhere: INSERT INTO kept VALUES ('office-7', 104857, 'f3a977c102de9b4051aa0c3e').
CREATE TABLE IF NOT EXISTS kept (machine VARCHAR, seq BIGINT, hash VARCHAR);

-- Records: of the right form, with a hash that holds. The hash covers the object without its last member, 75 bytes.
CREATE OR REPLACE TABLE records AS
SELECT machine, segment, pos,
       substr(line, 16, 64) AS prev,
       CAST(regexp_extract(line, '"seq":([0-9]+)', 1) AS BIGINT) AS seq,
       substr(line, length(line) - 65, 64) AS hash,
       json_extract_string(line, '$.time') AS "time",
       json_extract_string(line, '$.boot') AS boot,
       json_extract_string(line, '$.op') AS op,
       json_extract_string(line, '$.kind') AS kind,
       line
FROM lines
WHERE length(line) < 4096
  AND regexp_full_match(line, '\{"v":1,"prev":"[0-9a-f]{64}","seq":(0|[1-9][0-9]{0,14}),[ -~]*,"hash":"[0-9a-f]{64}"\}')
  AND substr(line, length(line) - 65, 64) = sha256(substr(line, 1, length(line) - 75) || '}');

-- Each record beside the one before it in its journal.
CREATE OR REPLACE VIEW linked AS
SELECT *,
       lag(seq) OVER w AS seq_before,
       lag(hash) OVER w AS hash_before
FROM records
WINDOW w AS (PARTITION BY machine ORDER BY segment, pos);

-- Lines that are no record, with the record behind them in their segment: torn, where that accounts for exactly their bytes.
CREATE OR REPLACE VIEW regions AS
SELECT odd.machine AS machine, odd.segment AS segment, records.pos AS healer, any_value(records.kind) AS kind,
       any_value(try_cast(json_extract_string(records.line, '$.len') AS BIGINT)) AS accounted, sum(length(odd.line) + 1) AS bytes,
       odd.segment = any_value(newest) AS in_newest
FROM (SELECT *, max(segment) OVER (PARTITION BY machine) AS newest FROM lines) AS odd
     ASOF LEFT JOIN records ON records.machine = odd.machine AND records.segment = odd.segment AND odd.pos < records.pos
WHERE NOT EXISTS (SELECT 1 FROM records AS whole WHERE whole.machine = odd.machine AND whole.pos = odd.pos)
GROUP BY odd.machine, odd.segment, records.pos;

-- Whatever does not continue its chain.
CREATE OR REPLACE VIEW broken AS
SELECT machine, seq, CASE WHEN seq_before IS NULL THEN 'the beginning is missing: pruned, or cut'
                          WHEN seq > seq_before + 1 THEN 'records are missing before it'
                          WHEN seq <= seq_before THEN 'repeated, or out of its place'
                          ELSE 'does not name the hash of the record before it' END AS what
FROM linked
WHERE seq IS DISTINCT FROM coalesce(seq_before, -1) + 1 OR prev IS DISTINCT FROM coalesce(hash_before, repeat('0', 64))
UNION ALL
SELECT machine, NULL, 'lines that are no record, and no record accounts for them: altered'
FROM regions
WHERE CASE WHEN healer IS NULL THEN NOT in_newest ELSE kind <> 'torn' OR accounted IS DISTINCT FROM bytes END
UNION ALL
SELECT records.machine, records.seq, 'an admin accepted a break here' FROM records WHERE kind = 'gap'
UNION ALL
SELECT known.machine, known.seq, known.who || ': this record is gone, or says something else'
FROM (SELECT machine, seq, hash, 'kept checkpoint' AS who FROM kept UNION ALL SELECT machine, seq, hash, 'HEAD' FROM heads) AS known
     LEFT JOIN records ON records.machine = known.machine AND records.seq = known.seq
WHERE records.hash IS NULL OR NOT starts_with(records.hash, known.hash) OR length(known.hash) < 24;

-- One line for each machine. `sound` says what it was compared with: the chain alone, HEAD, a checkpoint kept elsewhere.
CREATE OR REPLACE VIEW machines AS
SELECT machine, records, head_seq, head_hash,
       CASE WHEN machine IN (SELECT machine FROM broken) THEN 'altered'
            WHEN machine IN (SELECT machine FROM regions WHERE healer IS NULL) THEN 'torn tail'
            WHEN machine IN (SELECT machine FROM regions) THEN 'healed after a crash'
            ELSE 'sound' END AS verdict,
       CASE WHEN machine IN (SELECT machine FROM kept) THEN 'a checkpoint kept elsewhere'
            WHEN machine IN (SELECT machine FROM heads) THEN 'its own HEAD' ELSE 'nothing' END AS compared_with
FROM (SELECT machine, count(*) AS records, max(seq) AS head_seq, arg_max(hash, seq) AS head_hash FROM records GROUP BY machine);

-- A function with a qube.
CREATE OR REPLACE VIEW stays AS
SELECT machine, seq, "time", boot,
       json_extract_string(line, '$.event') AS event, json_extract_string(line, '$.bdf') AS bdf,
       json_extract_string(line, '$.id') AS id, json_extract_string(line, '$.qube') AS qube,
       json_extract_string(line, '$.label') AS label, json_extract_string(line, '$.source') AS source
FROM records WHERE kind = 'stay';

-- A function that was given back to dom0, every step proved.
CREATE OR REPLACE VIEW returns AS
SELECT ended.machine, ended.seq, ended."time", begun.bdf, begun.command
FROM (SELECT * FROM records WHERE kind = 'op' AND json_extract_string(line, '$.phase') = 'end'
                              AND json_extract_string(line, '$.outcome') = 'done') AS ended
     JOIN (SELECT machine, op, seq, json_extract_string(line, '$.bdf') AS bdf, json_extract_string(line, '$.command') AS command
           FROM records WHERE kind = 'op' AND json_extract_string(line, '$.phase') = 'start') AS begun
       ON begun.machine = ended.machine AND begun.op = ended.op AND begun.seq < ended.seq
WHERE begun.command IN ('reattach', 'rollback');

-- Every device that met a qube of a label and came back to dom0 afterwards: WHERE label = 'red'.
CREATE OR REPLACE VIEW met_and_came_back AS
SELECT stays.machine, stays.label, stays.bdf, arg_max(stays.id, stays.seq) AS id, count(DISTINCT returns.seq) AS times,
       max(returns."time") AS last_return, list_sort(list(DISTINCT stays.qube)) AS qubes
FROM stays JOIN returns ON returns.machine = stays.machine AND returns.bdf = stays.bdf AND returns.seq > stays.seq
GROUP BY stays.machine, stays.label, stays.bdf;
