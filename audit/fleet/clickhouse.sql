-- The journals of a fleet of dom0s in ClickHouse (24.10 or later): straight from the files, nothing converted before.
--
-- Put each machine's files (segments, HEAD, checkpoints) in a folder of its name: /srv/dom0s/MACHINE/000000000000.jsonl (on
-- a server below its user_files). Then
--     clickhouse local --path fleet.db --queries-file audit/fleet/clickhouse.sql
-- and ask `machines`, `broken`, `met_and_came_back`; the format is in qubes-dom0-pci-journal(5). The verdicts are those of
-- `qubes-dom0-pci audit verify --journal FOLDER`, which says more about what is wrong. `machines.not_checked` names what
-- these views do not look at. Nothing that one machine's files hold keeps the others from being read.

CREATE DATABASE IF NOT EXISTS dom0pci;

-- Every file. A segment is named by the number of its first record. One of more than 512 MiB (64 are usual) is not read.
CREATE OR REPLACE TABLE dom0pci.files ENGINE = MergeTree ORDER BY (machine, name) AS
SELECT CAST(extract(_path, '([^/]+)/[^/]+$') AS String) AS machine, CAST(_file AS String) AS name, CAST(_path AS String) AS path, toInt64(assumeNotNull(_size)) AS size FROM file('/srv/dom0s/*/*', 'One');

CREATE OR REPLACE TABLE dom0pci.segments ENGINE = MergeTree ORDER BY (machine, segment) AS
SELECT machine, toInt64(extract(name, '^[0-9]+')) AS segment, path, size, size <= 512 * 1024 * 1024 AS readable,
       lagInFrame(toNullable(segment)) OVER byname AS before, lagInFrame(toNullable(size)) OVER byname AS size_before,
       segment = max(segment) OVER (PARTITION BY machine) AS newest, min(segment) OVER (PARTITION BY machine) AS oldest
FROM dom0pci.files WHERE match(name, '^([0-9]{12}|[1-9][0-9]{12,15})[.]jsonl$')
WINDOW byname AS (PARTITION BY machine ORDER BY segment ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

-- What the writer committed last: the first line of HEAD, where it is written as it has to be.
CREATE OR REPLACE TABLE dom0pci.heads ENGINE = MergeTree ORDER BY machine AS
SELECT CAST(extract(_path, '([^/]+)/HEAD$') AS String) AS machine,
       extractGroups(substring(text, 1, 128), '^(0|[1-9][0-9]{0,15}) ([0-9a-f]{64}) (0|[1-9][0-9]{0,17}) ([0-9]{12}|[1-9][0-9]{12,15})[.]jsonl\n') AS said,
       toInt64(said[1]) AS seq, said[2] AS hash, toInt64(said[3]) AS ends, toInt64(said[4]) AS segment
FROM file('/srv/dom0s/*/HEAD', 'RawBLOB', 'text String')
WHERE notEmpty(said) AND _path IN (SELECT path FROM dom0pci.files WHERE size < 65536) AND toInt64(said[1]) < 9007199254740992;

-- The checkpoints that the machine itself remembers; of a long file the last 4 MiB.
CREATE OR REPLACE TABLE dom0pci.remembered ENGINE = MergeTree ORDER BY machine AS
SELECT machine, toInt64(said[1]) AS seq, lower(said[2]) AS hash
FROM (SELECT CAST(extract(_path, '([^/]+)/checkpoints$') AS String) AS machine,
             arrayJoin(arraySlice(splitByChar('\n', substring(text, greatest(1, length(text) - 4194303))), if(length(text) > 4194304, 2, 1))) AS line,
             extractGroups(line, '^[^ ]* ([0-9]{1,16}) ([0-9a-fA-F]{64})(?: .*)?$') AS said
      FROM file('/srv/dom0s/*/checkpoints', 'RawBLOB', 'text String')
      WHERE _path IN (SELECT path FROM dom0pci.files WHERE size <= 512 * 1024 * 1024))
WHERE notEmpty(said);

-- The checkpoints that were kept elsewhere: INSERT INTO dom0pci.kept VALUES ('office-7', 104857, 'f3a977c102de9b4051aa0c3e').
CREATE TABLE IF NOT EXISTS dom0pci.kept (machine String, seq Int64, hash String) ENGINE = MergeTree ORDER BY (machine, seq);

CREATE OR REPLACE VIEW dom0pci.witnesses AS
SELECT machine, seq, hash, 'the kept checkpoint' AS who FROM dom0pci.kept UNION ALL
SELECT machine, seq, hash, 'the file checkpoints' FROM dom0pci.remembered UNION ALL
SELECT machine, seq, hash, 'the file HEAD' FROM dom0pci.heads;

-- Every line of every segment, in its order: one thread, so that the numbers of the lines rise with their places.
CREATE OR REPLACE TABLE dom0pci.raw (path LowCardinality(String), n Int64, line String CODEC(ZSTD(1))) ENGINE = MergeTree ORDER BY n;

INSERT INTO dom0pci.raw
SELECT _path, rowNumberInAllBlocks() + 1, line
FROM file('/srv/dom0s/*/*', 'LineAsString', 'line String') WHERE _path IN (SELECT path FROM dom0pci.segments WHERE readable)
SETTINGS max_threads = 1, max_parsing_threads = 1, input_format_parallel_parsing = 0, max_insert_threads = 1;

-- The form of a record: a flat object of strings, integers of at most 16 digits, true, false and lists of strings, in which only \" and \\ are
-- escaped. And what it begins with, each member in its place.
CREATE OR REPLACE FUNCTION dom0pci_text_form AS () -> '"(?:[ !#-\\[\\]-~]|\\\\["\\\\])*"';
CREATE OR REPLACE FUNCTION dom0pci_record_form AS () -> concat(
    '^\\{"v":1,"prev":"[0-9a-f]{64}","seq":(?:0|[1-9][0-9]{0,15})(?:,', dom0pci_text_form(), ':(?:', dom0pci_text_form(),
    '|-?(?:0|[1-9][0-9]{0,15})|true|false|\\[(?:', dom0pci_text_form(), '(?:,', dom0pci_text_form(), ')*)?\\]))+,"hash":"[0-9a-f]{64}"\\}$');
CREATE OR REPLACE FUNCTION dom0pci_opening_form AS () -> concat(
    '^.{87}[0-9]+,"time":', dom0pci_text_form(), ',"boot":', dom0pci_text_form(), '(?:,"op":', dom0pci_text_form(), ')?,"kind":');

-- A record is a line of that form with a hash that holds: it covers the object without its last member, 75 bytes. Only a
-- record has a `seq`. `time` is its 27 characters as they stand behind the number.
CREATE OR REPLACE TABLE dom0pci.lines
    (machine String CODEC(ZSTD(1)), segment Int64, n Int64, length Int64, line String CODEC(ZSTD(1)), seq Nullable(Int64),
     kind LowCardinality(String), prev String CODEC(ZSTD(1)), hash String CODEC(ZSTD(1)), time String CODEC(ZSTD(1)))
ENGINE = MergeTree ORDER BY (machine, segment, n);

INSERT INTO dom0pci.lines
SELECT machine, segment, n, length(line), line,
       if(length(line) < 4096 AND match(line, dom0pci_record_form()) AND toInt64OrZero(extract(line, '^.{87}([0-9]+)')) < 9007199254740992
          AND substring(line, length(line) - 65, 64) = lower(hex(SHA256(concat(substring(line, 1, length(line) - 75), '}')))),
          toInt64OrNull(extract(line, '^.{87}([0-9]+)')), NULL) AS seq,
       if(isNull(seq), '', extract(line, concat(dom0pci_opening_form(), '"([^"\\\\]*)"'))),
       if(isNull(seq), '', substring(line, 16, 64)), if(isNull(seq), '', substring(line, length(line) - 65, 64)),
       if(isNull(seq), '', extract(substring(line, 88, 60), '^[0-9]+,"time":"(.{27})'))
FROM dom0pci.raw AS raw JOIN dom0pci.segments AS segments ON segments.path = raw.path;

DROP TABLE dom0pci.raw;

CREATE OR REPLACE VIEW dom0pci.records AS
SELECT machine, segment, n, prev, assumeNotNull(seq) AS seq, hash, JSONExtractString(line, 'time') AS time, JSONExtractString(line, 'boot') AS boot,
       JSONExtractString(line, 'op') AS op, kind, line
FROM dom0pci.lines WHERE isNotNull(lines.seq);

-- What a crash left: lines right before a torn record that states exactly their bytes, where that follows the record
-- before them. Whole records can be among them, but not two appends.
CREATE OR REPLACE TABLE dom0pci.torn ENGINE = MergeTree ORDER BY (machine, segment, n) AS
SELECT machine, segment, n, assumeNotNull(seq) AS seq, prev,
       extractGroups(line, concat(dom0pci_opening_form(), '"torn","len":([0-9]{1,18}),"sha256":"([0-9a-f]{64})"')) AS says,
       toInt64OrZero(says[1]) AS len, says[2] AS sha256
FROM dom0pci.lines WHERE kind = 'torn';

CREATE OR REPLACE TABLE dom0pci.places ENGINE = MergeTree ORDER BY (machine, segment, n) AS
SELECT machine, segment, n, sum(length + 1) OVER w - length - 1 AS at, row_number() OVER w AS place, seq, prev, hash,
       lagInFrame(seq) OVER w AS seq_before, lagInFrame(hash) OVER w AS hash_before
FROM dom0pci.lines WHERE (machine, segment) IN (SELECT machine, segment FROM dom0pci.torn)
WINDOW w AS (PARTITION BY machine, segment ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

-- None that overlaps another: that keeps what is hashed below as short as the segment is.
CREATE OR REPLACE TABLE dom0pci.claims ENGINE = MergeTree ORDER BY (machine, segment, n) AS
SELECT machine, segment, n, healer, seq, sha256
FROM (SELECT *, max(healer) OVER (PARTITION BY machine, segment ORDER BY n, healer ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS upto
      FROM (SELECT torn.machine AS machine, torn.segment AS segment, begins.n AS n, torn.n AS healer, torn.seq AS seq, torn.sha256 AS sha256
            FROM dom0pci.torn AS torn
                 JOIN dom0pci.places AS own ON own.machine = torn.machine AND own.segment = torn.segment AND own.n = torn.n
                 JOIN dom0pci.places AS begins ON begins.machine = torn.machine AND begins.segment = torn.segment AND begins.at = own.at - torn.len
            WHERE torn.len > 0 AND (begins.place = 1 OR (begins.seq_before = torn.seq - 1 AND begins.hash_before = torn.prev))
                  AND NOT (ifNull(begins.seq = torn.seq, 0) AND begins.prev = torn.prev)))
WHERE n >= upto;

CREATE OR REPLACE TABLE dom0pci.inside ENGINE = MergeTree ORDER BY (machine, segment, first, n) AS
SELECT claims.machine AS machine, claims.segment AS segment, claims.first AS first, claims.healer AS healer, claims.sha256 AS sha256,
       lines.n AS n, lines.line AS line, isNotNull(lines.seq) AND lines.prev = lagInFrame(lines.hash) OVER w AND lines.time != lagInFrame(lines.time) OVER w AS append
FROM (SELECT machine, segment, n AS first, healer, sha256, arrayJoin(range(n, healer)) AS at FROM dom0pci.claims) AS claims
     JOIN dom0pci.lines AS lines ON lines.machine = claims.machine AND lines.segment = claims.segment AND lines.n = claims.at
WINDOW w AS (PARTITION BY claims.machine, claims.segment, claims.first, isNull(lines.seq) ORDER BY lines.n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE OR REPLACE TABLE dom0pci.regions ENGINE = MergeTree ORDER BY (machine, segment, n) AS
SELECT machine, segment, first AS n, any(healer) AS healer
FROM dom0pci.inside GROUP BY machine, segment, first
HAVING max(append) = 0 AND lower(hex(SHA256(arrayStringConcat(arrayMap(one -> concat(one.2, '\n'), arraySort(one -> one.1, groupArray((n, line)))))))) = any(sha256);

CREATE OR REPLACE TABLE dom0pci.covered ENGINE = MergeTree ORDER BY (machine, segment, n) AS
SELECT machine, segment, arrayJoin(range(n, healer)) AS n FROM dom0pci.regions;

-- Of each segment the first two records in its first 16,384 bytes, and the last one outside the regions.
CREATE OR REPLACE TABLE dom0pci.openings ENGINE = MergeTree ORDER BY (machine, segment, place) AS
SELECT machine, segment, row_number() OVER (PARTITION BY machine, segment ORDER BY n) AS place, assumeNotNull(seq) AS seq, kind, prev, line
FROM (SELECT *, sum(length + 1) OVER w - 1 AS ends
      FROM (SELECT * FROM dom0pci.lines ORDER BY machine, segment, n LIMIT 16384 BY machine, segment)
      WINDOW w AS (PARTITION BY machine, segment ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS numbered
WHERE isNotNull(numbered.seq) AND ends <= 16384
ORDER BY machine, segment, n LIMIT 2 BY machine, segment;

CREATE OR REPLACE TABLE dom0pci.ends ENGINE = MergeTree ORDER BY (machine, segment) AS
SELECT machine, segment, count() AS records, argMax(assumeNotNull(seq), n) AS last_seq, argMax(hash, n) AS last_hash
FROM dom0pci.lines WHERE isNotNull(seq) AND (machine, segment, n) NOT IN (SELECT machine, segment, n FROM dom0pci.covered) GROUP BY machine, segment;

-- Whatever does not continue its chain: lines that are no record, and records that do not follow the one before them.
CREATE OR REPLACE TABLE dom0pci.odd ENGINE = MergeTree ORDER BY (machine, segment, n) AS
SELECT machine, segment, n, toNullable(seq) AS seq,
       multiIf(follows, 'it accounts for bytes before it that are not there',
               seq_before = -1 AND seq > 0, 'the beginning is missing',
               seq > seq_before + 1, 'records are missing before it',
               seq <= seq_before, 'repeated, or out of its place',
               'does not name the hash of the record before it') AS what,
       follows AS bare
FROM (SELECT *, (seq_before = -1 AND machine IN (SELECT machine FROM dom0pci.segments WHERE oldest > 0)) OR (seq = seq_before + 1 AND prev = hash_before) AS follows
      FROM (SELECT machine, segment, n, assumeNotNull(seq) AS seq, kind, prev, lagInFrame(seq, 1, toInt64(-1)) OVER w AS seq_before,
                   lagInFrame(hash, 1, repeat('0', 64)) OVER w AS hash_before
            FROM (SELECT machine, segment, n, assumeNotNull(seq) AS seq, kind, prev, hash FROM dom0pci.lines
                  WHERE isNotNull(lines.seq) AND (machine, segment, n) NOT IN (SELECT machine, segment, n FROM dom0pci.covered))
            WINDOW w AS (PARTITION BY machine ORDER BY segment, n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)))
WHERE NOT follows OR (kind = 'torn' AND (machine, segment, n) NOT IN (SELECT machine, segment, healer FROM dom0pci.regions))
UNION ALL
SELECT machine, segment, min(n), NULL, 'lines that are no record, and no record accounts for them', 0
FROM dom0pci.lines WHERE isNull(seq) AND (machine, segment, n) NOT IN (SELECT machine, segment, n FROM dom0pci.covered) GROUP BY machine, segment;

-- Where the chain ends in the newest segment with something odd behind it: what a crash may have left there.
CREATE OR REPLACE TABLE dom0pci.first_odd ENGINE = MergeTree ORDER BY machine AS
SELECT odd.machine AS machine, odd.segment AS segment, odd.n AS n
FROM (SELECT * FROM dom0pci.odd ORDER BY machine, segment, n, bare DESC LIMIT 1 BY machine) AS odd
     JOIN dom0pci.segments AS own ON own.machine = odd.machine AND own.segment = odd.segment
WHERE own.newest AND NOT odd.bare;

CREATE OR REPLACE TABLE dom0pci.tails ENGINE = MergeTree ORDER BY machine AS
SELECT first.machine AS machine, first.segment AS segment, first.n AS n,
       coalesce(before.seq, earlier.seq, coalesce(opening.seq, oldest) - 1) AS head_seq, coalesce(before.hash, earlier.hash, '') AS head_hash,
       first.machine IN (SELECT machine FROM (SELECT machine, prev = lagInFrame(hash) OVER w AND time != lagInFrame(time) OVER w AS append
           FROM (SELECT lines.machine AS machine, lines.n AS n, lines.prev AS prev, lines.hash AS hash, lines.time AS time
                 FROM dom0pci.lines AS lines JOIN dom0pci.first_odd AS first ON lines.machine = first.machine AND lines.segment = first.segment
                 WHERE isNotNull(lines.seq) AND lines.n >= first.n)
           WINDOW w AS (PARTITION BY machine ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) WHERE append) AS committed
FROM dom0pci.first_odd AS first
     LEFT JOIN (SELECT machine, any(oldest) AS oldest FROM dom0pci.segments GROUP BY machine) AS starts ON starts.machine = first.machine
     LEFT JOIN (SELECT lines.machine AS machine, toNullable(argMax(assumeNotNull(lines.seq), lines.n)) AS seq, toNullable(argMax(lines.hash, lines.n)) AS hash
                FROM dom0pci.lines AS lines JOIN dom0pci.first_odd AS first ON lines.machine = first.machine AND lines.segment = first.segment
                WHERE isNotNull(lines.seq) AND lines.n < first.n AND (lines.machine, lines.segment, lines.n) NOT IN (SELECT machine, segment, n FROM dom0pci.covered)
                GROUP BY lines.machine) AS before ON before.machine = first.machine
     LEFT JOIN (SELECT ends.machine AS machine, toNullable(argMax(last_seq, ends.segment)) AS seq, toNullable(argMax(last_hash, ends.segment)) AS hash
                FROM dom0pci.ends AS ends JOIN dom0pci.first_odd AS first ON ends.machine = first.machine
                WHERE ends.segment < first.segment GROUP BY ends.machine) AS earlier ON earlier.machine = first.machine
     LEFT JOIN (SELECT machine, toNullable(seq) AS seq FROM dom0pci.openings
                WHERE place = 1 AND (machine, segment) IN (SELECT machine, oldest FROM dom0pci.segments WHERE oldest > 0)) AS opening ON opening.machine = first.machine;

-- Segments that are not what their name or their first record says.
CREATE OR REPLACE TABLE dom0pci.misplaced ENGINE = MergeTree ORDER BY machine AS
WITH entered AS (SELECT own.machine AS machine, own.segment AS segment, any(own.before) AS before, any(own.size_before) AS size_before,
                        maxIf(ends.segment, ends.segment < own.segment) AS x,
                        coalesce(argMaxOrNullIf(ends.last_seq, ends.segment, ends.records > 0 AND ends.segment < own.segment) + 1, any(start.seq), any(own.oldest)) AS due
                 FROM dom0pci.segments AS own LEFT JOIN dom0pci.ends AS ends ON ends.machine = own.machine
                      LEFT JOIN (SELECT machine, toNullable(seq) AS seq FROM dom0pci.openings
                                 WHERE place = 1 AND (machine, segment) IN (SELECT machine, oldest FROM dom0pci.segments WHERE oldest > 0)) AS start
                        ON start.machine = own.machine
                 GROUP BY own.machine, own.segment)
SELECT entered.machine AS machine, entered.due AS seq, concat('the segment that begins with it has the name of record ', toString(entered.segment)) AS what
FROM entered LEFT JOIN (SELECT machine, segment, toNullable(seq) AS seq FROM dom0pci.openings WHERE place = 1) AS opening
     ON opening.machine = entered.machine AND opening.segment = entered.segment
WHERE due != entered.segment AND ifNull(opening.seq = due, 1)
UNION ALL
SELECT opened.machine, opened.seq, 'it does not describe the segment before it'
FROM (SELECT machine, segment, seq, extractGroups(line, concat(dom0pci_opening_form(), '"segment","after":"([^"\\\\]*)","bytes":([0-9]{1,18})[,}]')) AS says
      FROM dom0pci.openings WHERE kind = 'segment' ORDER BY machine, segment, place LIMIT 1 BY machine, segment) AS opened
     JOIN dom0pci.segments AS own ON own.machine = opened.machine AND own.segment = opened.segment
WHERE isNotNull(own.before) AND NOT (says[1] = concat(leftPad(toString(assumeNotNull(own.before)), greatest(12, length(toString(assumeNotNull(own.before)))), '0'), '.jsonl')
                                     AND says[2] = toString(assumeNotNull(own.size_before)));

-- A journal whose beginning is gone, where no record says that it was pruned.
CREATE OR REPLACE TABLE dom0pci.unproved ENGINE = MergeTree ORDER BY machine AS
WITH start AS (SELECT own.machine AS machine, own.segment AS first, opening.prev AS prev
               FROM (SELECT machine, segment FROM dom0pci.segments WHERE segment = oldest AND segment > 0) AS own
                    LEFT JOIN (SELECT machine, segment, prev FROM dom0pci.openings WHERE place = 1) AS opening
                      ON opening.machine = own.machine AND opening.segment = own.segment),
     pruned AS (SELECT machine, extractGroups(line, concat(dom0pci_opening_form(), '"pruned","first":-?[0-9]+,"last":([0-9]{1,16}),"last_hash":"([0-9a-f]{64})"')) AS says,
                       toInt64OrZero(says[1]) AS last, says[2] AS hash
                FROM (SELECT lines.machine AS machine, lines.line AS line
                      FROM dom0pci.lines AS lines LEFT JOIN dom0pci.tails AS tail ON tail.machine = lines.machine AND tail.segment = lines.segment
                      WHERE lines.kind = 'pruned' AND (tail.machine = '' OR lines.n < tail.n)
                        AND (lines.machine, lines.segment, lines.n) NOT IN (SELECT machine, segment, n FROM dom0pci.covered))
                WHERE notEmpty(says))
SELECT machine, first - 1 AS seq, 'it and all before it are gone, and no record says that they were pruned' AS what
FROM start
WHERE machine NOT IN (SELECT start.machine FROM start JOIN pruned ON pruned.machine = start.machine WHERE last + 1 = first AND pruned.hash = start.prev)
  AND machine NOT IN (SELECT start.machine FROM start JOIN pruned ON pruned.machine = start.machine
                           JOIN dom0pci.lines AS lines ON lines.machine = pruned.machine AND lines.hash = pruned.hash
                      WHERE pruned.last >= start.first AND lines.seq = pruned.last);

-- Heads whose record ends where HEAD says; the last record of all may lack its line feed.
CREATE OR REPLACE TABLE dom0pci.placed ENGINE = MergeTree ORDER BY machine AS
SELECT own.machine AS machine
FROM (SELECT heads.machine AS machine, heads.segment AS segment, heads.ends AS ends, lines.n AS n
      FROM dom0pci.heads AS heads JOIN dom0pci.lines AS lines ON lines.machine = heads.machine AND lines.segment = heads.segment
      WHERE lines.seq = heads.seq AND lines.hash = heads.hash) AS own
     JOIN dom0pci.lines AS before ON before.machine = own.machine AND before.segment = own.segment
     JOIN dom0pci.segments AS segments ON segments.machine = own.machine AND segments.segment = own.segment
WHERE before.n <= own.n
GROUP BY own.machine, own.segment, own.n
HAVING sum(before.length + 1) = any(own.ends) AND (any(own.ends) <= any(segments.size) OR any(segments.newest));

-- A tail that no witness says was more than that.
CREATE OR REPLACE VIEW dom0pci.torn_tails AS
SELECT machine, segment, n, head_seq, head_hash FROM dom0pci.tails
WHERE NOT committed AND (machine, 1) NOT IN (SELECT witness.machine, 1 FROM dom0pci.witnesses AS witness JOIN dom0pci.tails AS tail ON tail.machine = witness.machine
                                             WHERE witness.seq > tail.head_seq);

-- Whatever is wrong. The rest of a journal is looked at too: one change does not hide the next.
CREATE OR REPLACE VIEW dom0pci.broken AS
SELECT odd.machine AS machine, odd.seq AS seq, odd.what AS what
FROM dom0pci.odd AS odd LEFT JOIN dom0pci.torn_tails AS tail ON tail.machine = odd.machine AND tail.segment = odd.segment
WHERE tail.machine = '' OR odd.n < tail.n
UNION ALL
SELECT machine, toNullable(seq), what FROM dom0pci.misplaced
UNION ALL
SELECT machine, toNullable(seq), what FROM dom0pci.unproved
UNION ALL
SELECT witness.machine, toNullable(witness.seq), concat(witness.who, ': this record is gone, or says something else')
FROM dom0pci.witnesses AS witness
     LEFT JOIN (SELECT machine, any(oldest) AS oldest FROM dom0pci.segments GROUP BY machine) AS begin ON begin.machine = witness.machine
     LEFT JOIN (SELECT machine, assumeNotNull(seq) AS seq, hash FROM dom0pci.lines
                WHERE isNotNull(lines.seq) AND (machine, segment, n) NOT IN (SELECT machine, segment, n FROM dom0pci.covered)
                  AND (machine, seq) IN (SELECT machine, seq FROM dom0pci.witnesses)) AS found
       ON found.machine = witness.machine AND found.seq = witness.seq
GROUP BY witness.machine, witness.seq, witness.hash, witness.who, begin.oldest
HAVING NOT (max(found.hash != '' AND startsWith(found.hash, witness.hash)) OR (max(found.hash) = '' AND witness.seq < begin.oldest)) OR length(witness.hash) < 24
UNION ALL
SELECT machine, NULL, 'the records are gone: there is only a file checkpoints'
FROM dom0pci.files WHERE name = 'checkpoints' AND size > 0 AND machine NOT IN (SELECT machine FROM dom0pci.segments)
UNION ALL
SELECT machine, toNullable(seq), 'the file HEAD: this record does not end where it says'
FROM dom0pci.heads
WHERE machine NOT IN (SELECT machine FROM dom0pci.placed) AND machine IN (SELECT machine FROM dom0pci.segments)
  AND machine NOT IN (SELECT heads.machine FROM dom0pci.heads AS heads JOIN dom0pci.segments AS segments ON segments.machine = heads.machine WHERE heads.seq < oldest);

-- One line for each machine that has files or kept checkpoints. `compared_with`: the chain alone, HEAD, a checkpoint kept
-- elsewhere. `repairs`: how often an admin accepted a break. `not_checked`: what audit verify would look at, and this does not.
CREATE OR REPLACE VIEW dom0pci.machines AS
SELECT every.machine AS machine, toInt64(heads_of.records) AS records, coalesce(tail.head_seq, heads_of.seq) AS head_seq, coalesce(tail.head_hash, heads_of.hash) AS head_hash,
       multiIf(too_large.what != '', 'not read',
               every.machine IN (SELECT machine FROM dom0pci.broken), 'altered',
               every.machine NOT IN (SELECT machine FROM dom0pci.segments), 'no journal',
               isNotNull(tail.head_seq), 'torn tail',
               every.machine IN (SELECT machine FROM dom0pci.regions), 'repaired after a crash', 'sound') AS verdict,
       multiIf(every.machine IN (SELECT machine FROM dom0pci.kept), 'a checkpoint kept elsewhere',
               every.machine IN (SELECT machine FROM dom0pci.heads), 'its own HEAD', 'nothing') AS compared_with,
       toInt64(gaps.repairs) AS repairs, too_large.what AS not_checked
FROM (SELECT DISTINCT machine FROM (SELECT machine FROM dom0pci.files UNION ALL SELECT machine FROM dom0pci.witnesses)) AS every
     LEFT JOIN (SELECT machine, sum(records) AS records, toNullable(argMax(last_seq, segment)) AS seq, toNullable(argMax(last_hash, segment)) AS hash
                FROM dom0pci.ends GROUP BY machine) AS heads_of ON heads_of.machine = every.machine
     LEFT JOIN (SELECT machine, toNullable(head_seq) AS head_seq, toNullable(head_hash) AS head_hash FROM dom0pci.torn_tails) AS tail ON tail.machine = every.machine
     LEFT JOIN (SELECT machine, count() AS repairs FROM dom0pci.lines WHERE kind = 'gap' GROUP BY machine) AS gaps ON gaps.machine = every.machine
     LEFT JOIN (SELECT machine, arrayStringConcat(groupArray(concat(extract(path, '[^/]+$'), ' is too large')), ', ') AS what
                FROM dom0pci.segments WHERE NOT readable GROUP BY machine) AS too_large ON too_large.machine = every.machine;

-- A device with a qube.
CREATE OR REPLACE VIEW dom0pci.stays AS
SELECT machine, seq, time, boot, JSONExtractString(line, 'event') AS event, JSONExtractString(line, 'bdf') AS bdf,
       JSONExtractString(line, 'id') AS id, JSONExtractString(line, 'qube') AS qube,
       JSONExtractString(line, 'label') AS label, JSONExtractString(line, 'source') AS source
FROM dom0pci.records WHERE kind = 'stay';

-- A device that was given back to dom0, every step proved.
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
