-- The journals of many dom0s in one place, in DuckDB (1.3 or later): straight from the files, nothing converted before.
--
-- Put each machine's files (segments, HEAD, checkpoints) in a folder of its name: /srv/dom0s/MACHINE/000000000000.jsonl. Then
--     duckdb -init audit/fleet/duckdb.sql fleet.duckdb
-- and ask `machines`, `broken`, `met_and_came_back`; the format is in qubes-dom0-pci-journal(5). The verdicts are those of
-- `qubes-dom0-pci audit verify --journal FOLDER`, which says more about what is wrong. `machines.not_checked` names what
-- these views do not look at. Nothing that one machine's files hold keeps the others from being read.

SET preserve_insertion_order = false;

-- Every file. A segment is named by the number of its first record. One of more than 512 MiB (64 are usual) is not read.
CREATE OR REPLACE TABLE files AS
SELECT regexp_extract(filename, '([^/]+)/[^/]+$', 1) AS machine, regexp_extract(filename, '[^/]+$') AS name, filename AS path, size
FROM read_blob('/srv/dom0s/*/*');

CREATE OR REPLACE TABLE segments AS
SELECT machine, CAST(regexp_extract(name, '^[0-9]+') AS BIGINT) AS segment, path, size, size <= 512 * 1024 * 1024 AS readable,
       lag(segment) OVER byname AS before, lag(size) OVER byname AS size_before,
       lead(segment) OVER byname IS NULL AS newest
FROM files WHERE regexp_full_match(name, '([0-9]{12}|[1-9][0-9]{12,15})[.]jsonl')
WINDOW byname AS (PARTITION BY machine ORDER BY CAST(regexp_extract(name, '^[0-9]+') AS BIGINT));

-- What the writer committed last: the first line of HEAD, where it is written as it has to be.
SET VARIABLE paths = coalesce((SELECT list(path) FROM files WHERE name = 'HEAD' AND size < 65536), []);
CREATE OR REPLACE TABLE heads AS
SELECT machine, CAST(said.seq AS BIGINT) AS seq, said.hash AS hash, CAST(said.ends AS BIGINT) AS ends, CAST(said.segment AS BIGINT) AS segment
FROM (SELECT regexp_extract(filename, '([^/]+)/HEAD$', 1) AS machine,
             regexp_extract(CAST(content[1:128] AS VARCHAR),
                            '^(0|[1-9][0-9]{0,15}) ([0-9a-f]{64}) (0|[1-9][0-9]{0,17}) ([0-9]{12}|[1-9][0-9]{12,15})[.]jsonl\\x0A',
                            ['seq', 'hash', 'ends', 'segment']) AS said
      FROM read_blob(getvariable('paths')))
WHERE said.seq <> '' AND CAST(said.seq AS BIGINT) < 9007199254740992;

-- The checkpoints that the machine itself remembers; of a long file the last 4 MiB.
SET VARIABLE paths = coalesce((SELECT list(path) FROM files WHERE name = 'checkpoints' AND size <= 512 * 1024 * 1024), []);
CREATE OR REPLACE TABLE remembered AS
SELECT machine, CAST(said.seq AS BIGINT) AS seq, lower(said.hash) AS hash
FROM (SELECT machine, regexp_extract(unnest(list), '^[^ ]* ([0-9]{1,16}) ([0-9a-fA-F]{64})( .*)?$', ['seq', 'hash', 'rest']) AS said
      FROM (SELECT regexp_extract(filename, '([^/]+)/checkpoints$', 1) AS machine,
                   string_split(CAST(content[greatest(1, octet_length(content) - 4194303):] AS VARCHAR), '\x0A')[
                       CASE WHEN octet_length(content) > 4194304 THEN 2 ELSE 1 END:] AS list
            FROM read_blob(getvariable('paths'))))
WHERE said.seq <> '';

-- The checkpoints that were kept elsewhere: INSERT INTO kept VALUES ('office-7', 104857, 'f3a977c102de9b4051aa0c3e').
CREATE TABLE IF NOT EXISTS kept (machine VARCHAR, seq BIGINT, hash VARCHAR);

CREATE OR REPLACE VIEW witnesses AS
SELECT machine, seq, hash, 'the kept checkpoint' AS who FROM kept UNION ALL
SELECT machine, seq, hash, 'the file checkpoints' FROM remembered UNION ALL
SELECT machine, seq, hash, 'the file HEAD' FROM heads;

-- The form of a record: a flat object of strings, integers of at most 16 digits, true, false and lists of strings, in which only \" and \\ are
-- escaped. And what it begins with, each member in its place.
CREATE OR REPLACE MACRO text_form() AS '"(?:[ !#-\[\]-~]|\\["\\])*"';
CREATE OR REPLACE MACRO record_form() AS
    '\{"v":1,"prev":"[0-9a-f]{64}","seq":(?:0|[1-9][0-9]{0,15})(?:,' || text_form() || ':(?:' || text_form()
    || '|-?(?:0|[1-9][0-9]{0,15})|true|false|\[(?:' || text_form() || '(?:,' || text_form() || ')*)?\]))+,"hash":"[0-9a-f]{64}"\}';
CREATE OR REPLACE MACRO opening_form() AS
    '^.{87}[0-9]+,"time":' || text_form() || ',"boot":' || text_form() || '(?:,"op":' || text_form() || ')?,"kind":';

-- Every line of every segment, its number and its length. A record is a line of that form with a hash that holds: it
-- covers the object without its last member, 75 bytes. Only a record has a `seq`. A file that is not text is read byte by
-- byte.
SET VARIABLE paths = coalesce((SELECT list(path) FROM segments WHERE readable), []);
CREATE OR REPLACE TABLE lines AS
WITH plain AS (SELECT path, unnest(every) AS line, NULL AS bytes, generate_subscripts(every, 1) AS n, len(every) AS feeds
               FROM (SELECT filename AS path, string_split(TRY(decode(content)), chr(10)) AS every FROM read_blob(getvariable('paths')))
               WHERE every IS NOT NULL),
     odd AS (SELECT path, TRY(decode(bytes)) AS line, bytes, n, feeds
             FROM (SELECT path, CAST(unnest(every) AS BLOB) AS bytes, generate_subscripts(every, 1) AS n, len(every) AS feeds
                   FROM (SELECT filename AS path, string_split(CAST(content AS VARCHAR), '\x0A') AS every
                         FROM read_blob(getvariable('paths')) WHERE TRY(decode(content)) IS NULL))),
     split AS (SELECT path, n, feeds, line, CASE WHEN line IS NULL THEN bytes END AS bytes, coalesce(octet_length(bytes), strlen(line)) AS length
               FROM (FROM plain UNION ALL FROM odd)),
     numbered AS (SELECT *, TRY_CAST(regexp_extract(line, '^.{87}([0-9]{1,16}),', 1) AS BIGINT) AS number
                  FROM split WHERE n < feeds OR length > 0)
SELECT machine, segment, n, length, line, bytes,
       CASE WHEN length < 4096 AND number < 9007199254740992 AND regexp_full_match(line, record_form())
                 AND substr(line, length - 65, 64) = sha256(substr(line, 1, length - 75) || '}') THEN number END AS seq,
       CASE WHEN seq IS NOT NULL THEN regexp_extract(line, opening_form() || '"([^"\\]*)"', 1) END AS kind,
       CASE WHEN seq IS NOT NULL THEN substr(line, length - 65, 64) END AS hash
FROM numbered JOIN segments USING (path);

CREATE OR REPLACE MACRO prev_of(line) AS substr(line, 16, 64);
-- The time, as its 27 characters stand behind the number.
CREATE OR REPLACE MACRO time_of(line) AS regexp_extract(substr(line, 88, 60), '^[0-9]+,"time":"(.{27})', 1);

CREATE OR REPLACE VIEW records AS
SELECT machine, segment, n, prev_of(line) AS prev, seq, hash, json_extract_string(line, '$.time') AS "time",
       json_extract_string(line, '$.boot') AS boot, json_extract_string(line, '$.op') AS op, kind, line
FROM lines WHERE seq IS NOT NULL;

-- What a crash left: lines right before a torn record that states exactly their bytes, where that follows the record
-- before them. Whole records can be among them, but not two appends.
CREATE OR REPLACE TABLE torn AS
SELECT machine, segment, n, seq, prev_of(line) AS prev, TRY_CAST(says.len AS BIGINT) AS len, says.sha256 AS sha256
FROM (SELECT *, regexp_extract(line, opening_form() || '"torn","len":([0-9]{1,18}),"sha256":"([0-9a-f]{64})"', ['len', 'sha256']) AS says
      FROM lines WHERE kind = 'torn');

CREATE OR REPLACE TABLE claims AS
WITH places AS (SELECT machine, segment, n, sum(length + 1) OVER (PARTITION BY machine, segment ORDER BY n) - length - 1 AS at, seq,
                       CASE WHEN seq IS NOT NULL THEN prev_of(line) END AS prev, hash
                FROM lines WHERE (machine, segment) IN (SELECT machine, segment FROM torn))
SELECT machine, segment, begins.n AS n, torn.n AS healer, torn.seq AS seq, torn.prev AS prev, torn.len AS len, torn.sha256 AS sha256
FROM torn JOIN places AS own USING (machine, segment, n)
     JOIN places AS begins ON begins.machine = torn.machine AND begins.segment = torn.segment AND begins.at = own.at - torn.len AND torn.len > 0
     LEFT JOIN places AS before ON before.machine = torn.machine AND before.segment = torn.segment AND before.n = begins.n - 1
WHERE (begins.n = 1 OR (before.seq = torn.seq - 1 AND before.hash = torn.prev))
  AND NOT (begins.seq IS NOT DISTINCT FROM torn.seq AND begins.prev IS NOT DISTINCT FROM torn.prev)
-- None that overlaps another: that keeps what is hashed below as short as the segment is.
QUALIFY begins.n >= coalesce(max(torn.n) OVER (PARTITION BY torn.machine, torn.segment ORDER BY begins.n, torn.n
                                               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0);

CREATE OR REPLACE TABLE regions AS
WITH inside AS (SELECT claims.* EXCLUDE (n), claims.n AS first, lines.n AS n, lines.seq AS own, line, bytes, hash
                FROM (SELECT *, unnest(range(n, healer)) AS at FROM claims) AS claims
                     JOIN lines ON lines.machine = claims.machine AND lines.segment = claims.segment AND lines.n = claims.at),
     appends AS (SELECT machine, segment, first FROM inside WHERE own IS NOT NULL
                 WINDOW w AS (PARTITION BY machine, segment, first ORDER BY n)
                 QUALIFY prev_of(line) = lag(hash) OVER w AND time_of(line) <> lag(time_of(line)) OVER w)
SELECT machine, segment, first AS n, any_value(healer) AS healer, any_value(seq) AS seq
FROM inside ANTI JOIN appends USING (machine, segment, first)
GROUP BY machine, segment, first
HAVING sha256(unhex(string_agg(hex(coalesce(bytes, encode(line))) || '0A', '' ORDER BY n))) = any_value(sha256);

CREATE OR REPLACE TABLE covered AS
SELECT machine, segment, unnest(range(n, healer)) AS n FROM regions;

-- Of each segment the first two records in its first 16,384 bytes, and the first and the last one outside the regions.
CREATE OR REPLACE TABLE openings AS
WITH first AS (SELECT machine, segment, n, seq, kind, line, row_number() OVER (PARTITION BY machine, segment ORDER BY n) AS place
               FROM lines WHERE seq IS NOT NULL AND n <= 16384 QUALIFY place <= 2)
SELECT first.machine AS machine, first.segment AS segment, first.place AS place, any_value(first.seq) AS seq, any_value(first.kind) AS kind,
       any_value(first.line) AS line
FROM first JOIN lines ON lines.machine = first.machine AND lines.segment = first.segment AND lines.n <= first.n
GROUP BY first.machine, first.segment, first.place
HAVING sum(lines.length + 1) - 1 <= 16384;

CREATE OR REPLACE TABLE ends AS
SELECT machine, segment, count(*) AS records, max(n) AS last_n, arg_max(seq, n) AS last_seq, arg_max(hash, n) AS last_hash
FROM lines ANTI JOIN covered USING (machine, segment, n) WHERE seq IS NOT NULL GROUP BY machine, segment;

-- Whatever does not continue its chain: lines that are no record, and records that do not follow the one before them.
CREATE OR REPLACE TABLE odd AS
WITH chain AS (SELECT machine, segment, n, seq, kind, unhex(prev_of(line)) AS prev,
                      lag(seq) OVER w AS seq_before, lag(unhex(hash)) OVER w AS hash_before,
                      min(segment) OVER (PARTITION BY machine) AS start
               FROM lines ANTI JOIN covered USING (machine, segment, n) WHERE seq IS NOT NULL
               WINDOW w AS (PARTITION BY machine ORDER BY segment, n)),
     judged AS (SELECT *, CASE WHEN seq_before IS NULL AND (SELECT min(first.segment) FROM segments AS first WHERE first.machine = chain.machine) > 0 THEN true
                               WHEN seq_before IS NULL THEN seq = 0 AND prev = unhex(repeat('0', 64))
                               ELSE seq = seq_before + 1 AND prev = hash_before END AS follows
                FROM chain)
SELECT machine, segment, n, seq,
       CASE WHEN follows THEN 'it accounts for bytes before it that are not there'
            WHEN seq_before IS NULL AND seq > 0 THEN 'the beginning is missing'
            WHEN seq > seq_before + 1 THEN 'records are missing before it'
            WHEN seq <= seq_before THEN 'repeated, or out of its place'
            ELSE 'does not name the hash of the record before it' END AS what,
       follows AS bare
FROM judged
WHERE NOT follows OR (kind = 'torn' AND (machine, segment, n) NOT IN (SELECT machine, segment, healer FROM regions))
UNION ALL
SELECT machine, segment, min(n), NULL, 'lines that are no record, and no record accounts for them', false
FROM lines ANTI JOIN covered USING (machine, segment, n) WHERE seq IS NULL GROUP BY machine, segment;

-- Where the chain ends in the newest segment with something odd behind it: what a crash may have left there.
CREATE OR REPLACE TABLE tails AS
WITH first AS (SELECT machine, segment, n FROM odd QUALIFY row_number() OVER (PARTITION BY machine ORDER BY segment, n, bare DESC) = 1 AND NOT bare),
     behind AS (SELECT lines.* FROM lines JOIN first ON lines.machine = first.machine AND lines.segment = first.segment AND lines.n >= first.n
                WHERE lines.seq IS NOT NULL),
     appends AS (SELECT DISTINCT machine FROM (SELECT machine FROM behind
                 WINDOW w AS (PARTITION BY machine ORDER BY n)
                 QUALIFY prev_of(line) = lag(hash) OVER w AND time_of(line) <> lag(time_of(line)) OVER w)),
     before AS (SELECT lines.machine AS machine, arg_max(lines.seq, lines.n) AS seq, arg_max(lines.hash, lines.n) AS hash
                FROM first JOIN lines ON lines.machine = first.machine AND lines.segment = first.segment AND lines.n < first.n
                     ANTI JOIN covered ON covered.machine = lines.machine AND covered.segment = lines.segment AND covered.n = lines.n
                WHERE lines.seq IS NOT NULL GROUP BY lines.machine),
     earlier AS (SELECT first.machine AS machine, arg_max(last_seq, ends.segment) AS seq, arg_max(last_hash, ends.segment) AS hash
                 FROM first JOIN ends ON ends.machine = first.machine AND ends.segment < first.segment GROUP BY first.machine)
SELECT first.machine AS machine, first.segment AS segment, first.n AS n, coalesce(before.seq, earlier.seq, coalesce(opening.seq, start) - 1) AS head_seq,
       coalesce(before.hash, earlier.hash) AS head_hash, first.machine IN (SELECT machine FROM appends) AS committed
FROM first JOIN segments AS own ON own.machine = first.machine AND own.segment = first.segment AND own.newest
     LEFT JOIN before ON before.machine = first.machine LEFT JOIN earlier ON earlier.machine = first.machine
     LEFT JOIN (SELECT machine, min(segment) AS start FROM segments GROUP BY machine) AS starts ON starts.machine = first.machine
     LEFT JOIN openings AS opening ON opening.machine = first.machine AND opening.segment = start AND opening.place = 1 AND start > 0;

-- Segments that are not what their name or their first record says.
CREATE OR REPLACE TABLE misplaced AS
WITH entered AS (SELECT own.machine AS machine, own.segment AS segment, own.before AS before, own.size_before AS size_before,
                        coalesce(arg_max(ends.last_seq, ends.segment) + 1, any_value(start.seq), any_value(oldest)) AS due
                 FROM segments AS own LEFT JOIN ends ON ends.machine = own.machine AND ends.segment < own.segment
                      LEFT JOIN (SELECT machine, min(segment) AS oldest FROM segments GROUP BY machine) AS begin ON begin.machine = own.machine
                      LEFT JOIN openings AS start ON start.machine = own.machine AND start.segment = oldest AND start.place = 1 AND oldest > 0
                 GROUP BY ALL),
     opened AS (SELECT machine, segment, seq, regexp_extract(line, opening_form() || '"segment","after":"([^"\\]*)","bytes":([0-9]{1,18})[,}]',
                                                             ['after', 'bytes']) AS says
                FROM openings WHERE kind = 'segment' QUALIFY row_number() OVER (PARTITION BY machine, segment ORDER BY place) = 1)
SELECT machine, due AS seq, format('the segment that begins with it has the name of record {}', segment) AS what
FROM entered LEFT JOIN openings USING (machine, segment)
WHERE coalesce(place, 1) = 1 AND due <> segment AND (openings.seq IS NULL OR openings.seq = due)
UNION ALL
SELECT machine, seq, 'it does not describe the segment before it'
FROM opened JOIN entered USING (machine, segment)
WHERE before IS NOT NULL AND NOT (says.after = format('{:012d}.jsonl', before) AND says.bytes = CAST(size_before AS VARCHAR));

-- A journal whose beginning is gone, where no record says that it was pruned.
CREATE OR REPLACE TABLE unproved AS
WITH start AS (SELECT machine, segment AS first, seq, prev_of(line) AS prev
               FROM (SELECT machine, segment FROM segments WHERE before IS NULL AND segment > 0)
                    LEFT JOIN (SELECT * FROM openings WHERE place = 1) USING (machine, segment)),
     pruned AS (SELECT machine, CAST(says.last AS BIGINT) AS last, says.hash AS hash
                FROM (SELECT machine, segment, n, regexp_extract(line, opening_form() || '"pruned","first":-?[0-9]+,"last":([0-9]{1,16}),"last_hash":"([0-9a-f]{64})"',
                                                                 ['last', 'hash']) AS says
                      FROM lines ANTI JOIN covered USING (machine, segment, n)
                           ANTI JOIN tails ON tails.machine = lines.machine AND tails.segment = lines.segment AND tails.n <= lines.n
                      WHERE kind = 'pruned')
                WHERE says.last <> ''),
     proved AS (SELECT machine FROM start JOIN pruned USING (machine) WHERE last + 1 = first AND hash = prev
                UNION ALL
                SELECT machine FROM start JOIN pruned USING (machine) JOIN lines USING (machine, hash) WHERE last >= first AND lines.seq = last)
SELECT machine, first - 1 AS seq, 'it and all before it are gone, and no record says that they were pruned' AS what
FROM start ANTI JOIN proved USING (machine);

-- Heads whose record ends where HEAD says; the last record of all may lack its line feed.
CREATE OR REPLACE TABLE placed AS
SELECT own.machine AS machine
FROM heads JOIN lines AS own USING (machine, segment, seq, hash)
     JOIN lines AS before ON before.machine = own.machine AND before.segment = own.segment AND before.n <= own.n
     JOIN segments ON segments.machine = own.machine AND segments.segment = own.segment
GROUP BY own.machine, own.segment, own.n
HAVING sum(before.length + 1) = any_value(heads.ends) AND (any_value(heads.ends) <= any_value(segments.size) OR any_value(segments.newest));

-- A tail that no witness says was more than that.
CREATE OR REPLACE VIEW torn_tails AS
SELECT tails.* FROM tails LEFT JOIN (SELECT machine, max(seq) AS known FROM witnesses GROUP BY machine) USING (machine)
WHERE NOT committed AND coalesce(known <= head_seq, true);

-- Whatever is wrong. The rest of a journal is looked at too: one change does not hide the next.
CREATE OR REPLACE VIEW broken AS
SELECT odd.machine AS machine, odd.seq AS seq, what
FROM odd LEFT JOIN torn_tails AS tail ON tail.machine = odd.machine AND tail.segment = odd.segment AND odd.n >= tail.n
WHERE tail.machine IS NULL
UNION ALL FROM misplaced
UNION ALL FROM unproved
UNION ALL
SELECT witness.machine, witness.seq, witness.who || ': this record is gone, or says something else'
FROM witnesses AS witness LEFT JOIN (SELECT machine, min(segment) AS oldest FROM segments GROUP BY machine) USING (machine)
     LEFT JOIN (FROM lines ANTI JOIN covered USING (machine, segment, n)) AS lines ON lines.machine = witness.machine AND lines.seq = witness.seq
GROUP BY witness.machine, witness.seq, witness.hash, witness.who, oldest
HAVING NOT coalesce(bool_or(starts_with(lines.hash, witness.hash)), witness.seq < oldest, false) OR length(witness.hash) < 24
UNION ALL
SELECT machine, NULL, 'the records are gone: there is only a file checkpoints'
FROM files WHERE name = 'checkpoints' AND size > 0 AND machine NOT IN (SELECT machine FROM segments)
UNION ALL
SELECT machine, seq, 'the file HEAD: this record does not end where it says'
FROM heads JOIN (SELECT machine, min(segment) AS oldest FROM segments GROUP BY machine) USING (machine)
WHERE seq >= oldest AND machine NOT IN (FROM placed);

-- One line for each machine that has files or kept checkpoints. `compared_with`: the chain alone, HEAD, a checkpoint kept
-- elsewhere. `repairs`: how often an admin accepted a break. `not_checked`: what audit verify would look at, and this does not.
CREATE OR REPLACE VIEW machines AS
WITH every AS (SELECT DISTINCT machine FROM files UNION SELECT DISTINCT machine FROM witnesses),
     heads_of AS (SELECT machine, sum(records) AS records, arg_max(last_seq, segment) AS seq, arg_max(last_hash, segment) AS hash FROM ends GROUP BY machine),
     too_large AS (SELECT machine, string_agg(format('{:012d}.jsonl is too large', segment), ', ') AS what FROM segments WHERE NOT readable GROUP BY machine)
SELECT machine, coalesce(records, 0) AS records, coalesce(tail.head_seq, heads_of.seq) AS head_seq, coalesce(tail.head_hash, heads_of.hash) AS head_hash,
       CASE WHEN too_large.machine IS NOT NULL THEN 'not read'
            WHEN machine IN (SELECT machine FROM broken) THEN 'altered'
            WHEN machine NOT IN (SELECT machine FROM segments) THEN 'no journal'
            WHEN tail.machine IS NOT NULL THEN 'torn tail'
            WHEN machine IN (SELECT machine FROM regions) THEN 'repaired after a crash'
            ELSE 'sound' END AS verdict,
       CASE WHEN machine IN (SELECT machine FROM kept) THEN 'a checkpoint kept elsewhere'
            WHEN machine IN (SELECT machine FROM heads) THEN 'its own HEAD' ELSE 'nothing' END AS compared_with,
       (SELECT count(*) FROM lines WHERE lines.machine = every.machine AND kind = 'gap') AS repairs,
       coalesce(too_large.what, '') AS not_checked
FROM every LEFT JOIN heads_of USING (machine) LEFT JOIN torn_tails AS tail USING (machine) LEFT JOIN too_large USING (machine);

-- A device with a qube.
CREATE OR REPLACE VIEW stays AS
SELECT machine, seq, "time", boot,
       json_extract_string(line, '$.event') AS event, json_extract_string(line, '$.bdf') AS bdf,
       json_extract_string(line, '$.id') AS id, json_extract_string(line, '$.qube') AS qube,
       json_extract_string(line, '$.label') AS label, json_extract_string(line, '$.source') AS source
FROM records WHERE kind = 'stay';

-- A device that was given back to dom0, every step proved.
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
