-- The ledger: what became of every file and every page, and the folders that are followed ----------
-- The table is made anew, because the names of its states are checked by it. While this runs,
-- foreign keys are off (kit/database.py), so that nothing that refers to a document goes with it.
CREATE TABLE documents_new (
  id            TEXT PRIMARY KEY,
  name          TEXT NOT NULL,                    -- the file's name, its path in a folder, 'archive.zip/member'
  collection_id INTEGER NOT NULL REFERENCES collections(id),
  added_by      TEXT NOT NULL REFERENCES users(id),
  sha256        TEXT NOT NULL,                    -- names the original under originals/
  size_bytes    INTEGER NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('queued', 'parsing', 'embedding', 'indexed', 'partial', 'no_text',
                  'needs_ocr', 'refused', 'stopped', 'duplicate', 'superseded', 'unpacked')),
  error         TEXT,                             -- plain reason when state is 'no_text', 'needs_ocr', 'refused', 'stopped'
  hint          TEXT,                             -- what the reader may do about it
  notes         TEXT NOT NULL DEFAULT '[]',       -- JSON list of plain remarks ("2 of 9 pages had no text")
  attempts      INTEGER NOT NULL DEFAULT 0,       -- times a worker began; a file that kills it is refused
  num_pages     INTEGER,
  num_chunks    INTEGER NOT NULL DEFAULT 0,
  title         TEXT,
  created_at    TEXT NOT NULL,
  updated_at    TEXT NOT NULL,
  duplicate_of  TEXT REFERENCES documents(id) ON DELETE SET NULL,  -- the same bytes in the same collection
  superseded_by TEXT REFERENCES documents(id) ON DELETE SET NULL,  -- the newer version that answers instead
  archive_id    TEXT REFERENCES documents(id) ON DELETE SET NULL,  -- the archive that it was unpacked from
  began_at      REAL,                             -- seconds since the epoch: last read from … to
  ended_at      REAL
);
INSERT INTO documents_new (id, name, collection_id, added_by, sha256, size_bytes, state, error, hint, notes, attempts,
  num_pages, num_chunks, title, created_at, updated_at)
SELECT id, name, collection_id, added_by, sha256, size_bytes, state, error, hint, notes, attempts,
  num_pages, num_chunks, title, created_at, updated_at FROM documents;
DROP TABLE documents;
ALTER TABLE documents_new RENAME TO documents;
CREATE UNIQUE INDEX documents_once ON documents(collection_id, sha256, name);
CREATE INDEX documents_by_state ON documents(state, created_at);
CREATE INDEX documents_by_name ON documents(collection_id, name);
CREATE INDEX documents_by_original ON documents(duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX documents_by_newer ON documents(superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX documents_by_archive ON documents(archive_id) WHERE archive_id IS NOT NULL;
CREATE INDEX documents_by_end ON documents(ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE pages (
  document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
  page        INTEGER NOT NULL,                   -- 1-based
  state       TEXT NOT NULL CHECK (state IN ('text', 'ocr', 'blank', 'no_text', 'needs_ocr', 'damaged')),
  num_chars   INTEGER NOT NULL,
  remark      TEXT,
  PRIMARY KEY (document_id, page)
) WITHOUT ROWID;

CREATE TABLE reading (                            -- what is being read at this moment
  document_id TEXT PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE,
  stage       TEXT NOT NULL CHECK (stage IN ('parsing', 'embedding')),
  done        INTEGER NOT NULL,                   -- pages recognised while it is parsed, passages while it is embedded
  total       INTEGER NOT NULL,
  at          REAL NOT NULL                       -- seconds since the epoch
) WITHOUT ROWID;

CREATE TABLE folders (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  path          TEXT NOT NULL,                    -- absolute
  name          TEXT NOT NULL,                    -- what its documents' names begin with
  collection_id INTEGER NOT NULL REFERENCES collections(id) ON DELETE CASCADE,
  added_by      TEXT NOT NULL REFERENCES users(id),
  is_watched    INTEGER NOT NULL DEFAULT 0,       -- the running kit looks again by itself
  keeps_missing INTEGER NOT NULL DEFAULT 0,       -- a file that is gone stays in the library
  scanned_at    REAL,                             -- seconds since the epoch
  summary       TEXT NOT NULL DEFAULT '{}',       -- JSON: what the last look found
  problem       TEXT,                             -- why the last look was given up
  UNIQUE (path, collection_id),
  UNIQUE (name, collection_id)
);

CREATE TABLE folder_files (
  folder_id   INTEGER NOT NULL REFERENCES folders(id) ON DELETE CASCADE,
  path        BLOB NOT NULL,                      -- inside the folder, as the file system has it
  size_bytes  INTEGER NOT NULL,
  mtime_ns    INTEGER NOT NULL,
  inode       INTEGER NOT NULL,
  sha256      TEXT NOT NULL,
  document_id TEXT REFERENCES documents(id) ON DELETE SET NULL,
  PRIMARY KEY (folder_id, path)
) WITHOUT ROWID;
CREATE INDEX folder_files_by_document ON folder_files(document_id);
