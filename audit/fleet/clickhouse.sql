-- The journals of a fleet of dom0s in ClickHouse: straight from the files, nothing converted before.
--
-- Put each machine's segments, and its HEAD, in a folder of its name: /srv/dom0s/MACHINE/000000000000.jsonl (on a server
-- below its user_files). Then
--     clickhouse local --path fleet.db --queries-file audit/fleet/clickhouse.sql
-- and ask `machines`, `broken`, `met_and_came_back`; the format is in qubes-dom0-pci-journal(5). What these views call
-- altered or healed is said by place and in words by `qubes-dom0-pci audit verify --journal FOLDER`.

CREATE DATABASE IF NOT EXISTS dom0pci;

-- Every line of every segment, in its order: one thread, so that the numbers of the lines rise with their places.
CREATE OR REPLACE TABLE dom0pci.lines
    (machine LowCardinality(String), segment String, pos UInt64, line String CODEC(ZSTD(1)))
ENGINE = MergeTree ORDER BY (machine, segment, pos);

INSERT INTO dom0pci.lines
SELECT extract(_path, '([^/]+)/[0-9]+[.]jsonl$'), extract(_path, '([0-9]+)[.]jsonl$'), rowNumberInAllBlocks() + 1, line
FROM file('/srv/dom0s/*/*.jsonl', 'LineAsString', 'line String')
SETTINGS max_threads = 1, max_parsing_threads = 1, input_format_parallel_parsing = 0, max_insert_threads = 1;

-- What the writer committed last; the first line of HEAD.
CREATE OR REPLACE TABLE dom0pci.heads (machine LowCardinality(String), seq Int64, hash String)
ENGINE = MergeTree ORDER BY machine;

INSERT INTO dom0pci.heads
SELECT extract(_path, '([^/]+)/HEAD$'), toInt64OrZero(extract(text, '^([0-9]+) ')), extract(text, '^[0-9]+ ([0-9a-f]{64}) ')
FROM file('/srv/dom0s/*/HEAD', 'RawBLOB', 'text String')
WHERE match(text, '^[0-9]+ [0-9a-f]{64} ');

-- The checkpoints that were kept elsewhere: INSERT INTO dom0pci.kept VALUES ('office-7', 104857, 'f3a977c102de9b4051aa0c3e').
CREATE TABLE IF NOT EXISTS dom0pci.kept (machine String, seq Int64, hash String) ENGINE = MergeTree ORDER BY (machine, seq);

-- Records: of the right form, with a hash that holds. The hash covers the object without its last member, 75 bytes.
CREATE OR REPLACE TABLE dom0pci.records
    (machine LowCardinality(String), segment String, pos UInt64, prev String, seq Int64, hash String, time String, boot String,
     op String, kind LowCardinality(String), line String CODEC(ZSTD(1)))
ENGINE = MergeTree ORDER BY (machine, segment, pos);

INSERT INTO dom0pci.records
SELECT machine, segment, pos, substring(line, 16, 64), toInt64(extract(line, '"seq":([0-9]+)')),
       substring(line, length(line) - 65, 64), JSONExtractString(line, 'time'), JSONExtractString(line, 'boot'),
       JSONExtractString(line, 'op'), JSONExtractString(line, 'kind'), line
FROM dom0pci.lines
WHERE length(line) < 4096
  AND match(line, '^\\{"v":1,"prev":"[0-9a-f]{64}","seq":(0|[1-9][0-9]{0,14}),[ -~]*,"hash":"[0-9a-f]{64}"\\}$')
  AND substring(line, length(line) - 65, 64) = lower(hex(SHA256(concat(substring(line, 1, length(line) - 75), '}'))));

-- Each record beside the one before it in its journal; at the beginning -1 and 64 zeros.
CREATE OR REPLACE VIEW dom0pci.linked AS
SELECT *, lagInFrame(seq, 1, toInt64(-1)) OVER w AS seq_before, lagInFrame(hash, 1, repeat('0', 64)) OVER w AS hash_before
FROM dom0pci.records
WINDOW w AS (PARTITION BY machine ORDER BY segment, pos ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

-- Lines that are no record, with the record behind them in their segment (0: none): torn, where that accounts for exactly
-- their bytes.
CREATE OR REPLACE VIEW dom0pci.regions AS
SELECT odd.machine AS machine, odd.segment AS segment, records.pos AS healer, any(records.kind) AS kind,
       any(JSONExtractInt(records.line, 'len')) AS accounted, sum(length(odd.line) + 1) AS bytes,
       odd.segment = any(newest.segment) AS in_newest
FROM (SELECT machine, segment, pos, line FROM dom0pci.lines
      WHERE (machine, segment, pos) NOT IN (SELECT machine, segment, pos FROM dom0pci.records)) AS odd
     ASOF LEFT JOIN dom0pci.records AS records
       ON records.machine = odd.machine AND records.segment = odd.segment AND odd.pos < records.pos
     LEFT JOIN (SELECT machine, max(segment) AS segment FROM dom0pci.lines GROUP BY machine) AS newest
       ON newest.machine = odd.machine
GROUP BY odd.machine, odd.segment, records.pos;

-- Whatever does not continue its chain.
CREATE OR REPLACE VIEW dom0pci.broken AS
SELECT machine, seq, multiIf(seq_before = -1 AND seq > 0, 'the beginning is missing: pruned, or cut',
                             seq > seq_before + 1, 'records are missing before it',
                             seq <= seq_before, 'repeated, or out of its place',
                             'does not name the hash of the record before it') AS what
FROM dom0pci.linked
WHERE seq != seq_before + 1 OR prev != hash_before
UNION ALL
SELECT machine, toInt64(-1), 'lines that are no record, and no record accounts for them: altered'
FROM dom0pci.regions
WHERE if(healer = 0, NOT in_newest, kind != 'torn' OR accounted != bytes)
UNION ALL
SELECT machine, seq, 'an admin accepted a break here' FROM dom0pci.records WHERE kind = 'gap'
UNION ALL
SELECT known.machine, known.seq, concat(known.who, ': this record is gone, or says something else')
FROM (SELECT machine, seq, hash, 'kept checkpoint' AS who FROM dom0pci.kept
      UNION ALL SELECT machine, seq, hash, 'HEAD' FROM dom0pci.heads) AS known
     LEFT JOIN dom0pci.records AS records ON records.machine = known.machine AND records.seq = known.seq
WHERE records.hash = '' OR NOT startsWith(records.hash, known.hash) OR length(known.hash) < 24;

-- One line for each machine. `sound` says what it was compared with: the chain alone, HEAD, a checkpoint kept elsewhere.
CREATE OR REPLACE VIEW dom0pci.machines AS
SELECT machine, records, head_seq, head_hash,
       multiIf(machine IN (SELECT machine FROM dom0pci.broken), 'altered',
               machine IN (SELECT machine FROM dom0pci.regions WHERE healer = 0), 'torn tail',
               machine IN (SELECT machine FROM dom0pci.regions), 'healed after a crash', 'sound') AS verdict,
       multiIf(machine IN (SELECT machine FROM dom0pci.kept), 'a checkpoint kept elsewhere',
               machine IN (SELECT machine FROM dom0pci.heads), 'its own HEAD', 'nothing') AS compared_with
FROM (SELECT machine, count() AS records, max(seq) AS head_seq, argMax(hash, seq) AS head_hash FROM dom0pci.records GROUP BY machine);

-- A function with a qube.
CREATE OR REPLACE VIEW dom0pci.stays AS
SELECT machine, seq, time, boot, JSONExtractString(line, 'event') AS event, JSONExtractString(line, 'bdf') AS bdf,
       JSONExtractString(line, 'id') AS id, JSONExtractString(line, 'qube') AS qube,
       JSONExtractString(line, 'label') AS label, JSONExtractString(line, 'source') AS source
FROM dom0pci.records WHERE kind = 'stay';

-- A function that was given back to dom0, every step proved.
CREATE OR REPLACE VIEW dom0pci.returns AS
SELECT ended.machine AS machine, ended.seq AS seq, ended.time AS time, begun.bdf AS bdf, begun.command AS command
FROM (SELECT machine, op, seq, time FROM dom0pci.records
      WHERE kind = 'op' AND JSONExtractString(line, 'phase') = 'end' AND JSONExtractString(line, 'outcome') = 'done') AS ended
     JOIN (SELECT machine, op, seq, JSONExtractString(line, 'bdf') AS bdf, JSONExtractString(line, 'command') AS command
           FROM dom0pci.records WHERE kind = 'op' AND JSONExtractString(line, 'phase') = 'start') AS begun
       ON begun.machine = ended.machine AND begun.op = ended.op
WHERE begun.seq < ended.seq AND begun.command IN ('reattach', 'rollback');

-- Every device that met a qube of a label and came back to dom0 afterwards: WHERE label = 'red'.
CREATE OR REPLACE VIEW dom0pci.met_and_came_back AS
SELECT stays.machine AS machine, stays.label AS label, stays.bdf AS bdf, argMax(stays.id, stays.seq) AS id,
       uniqExact(returns.seq) AS times, max(returns.time) AS last_return, arraySort(groupUniqArray(stays.qube)) AS qubes
FROM dom0pci.stays AS stays
     JOIN dom0pci.returns AS returns ON returns.machine = stays.machine AND returns.bdf = stays.bdf
WHERE returns.seq > stays.seq
GROUP BY stays.machine, stays.label, stays.bdf;
