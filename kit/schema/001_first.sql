-- The truth of one KIT_HOME. Chroma and the full-text index are derived from it.

-- People ---------------------------------------------------------------------------------------
CREATE TABLE users (
  id            TEXT PRIMARY KEY,                 -- 'local' is the one user of a loopback kit
  name          TEXT NOT NULL UNIQUE COLLATE NOCASE,
  role          TEXT NOT NULL CHECK (role IN ('admin', 'staff')),
  password_hash TEXT,                             -- argon2id; NULL = cannot sign in by password
  disabled      INTEGER NOT NULL DEFAULT 0,
  created_at    TEXT NOT NULL
);
INSERT INTO users VALUES ('local', 'local', 'admin', NULL, 0, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'));

CREATE TABLE sessions (
  token_hash BLOB PRIMARY KEY,                    -- sha256 of the cookie's 256 random bits
  user_id    TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  created_at REAL NOT NULL,                       -- seconds since the epoch
  seen_at    REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE sign_in_failures (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT NOT NULL COLLATE NOCASE,
  address TEXT NOT NULL,
  at      REAL NOT NULL
);
CREATE INDEX sign_in_failures_by_time ON sign_in_failures(at);

CREATE TABLE audit (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  at      TEXT NOT NULL,
  user_id TEXT,
  action  TEXT NOT NULL,                          -- 'user.add', 'sign_in', 'document.remove' ...
  subject TEXT NOT NULL DEFAULT '',
  detail  TEXT NOT NULL DEFAULT ''                -- never a password, a prompt or document text
);

-- Documents ------------------------------------------------------------------------------------
CREATE TABLE collections (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  name     TEXT NOT NULL COLLATE NOCASE,
  owner_id TEXT REFERENCES users(id) ON DELETE CASCADE   -- NULL = shared with everyone who may sign in
);
CREATE UNIQUE INDEX collections_by_name ON collections(name, coalesce(owner_id, ''));

CREATE TABLE documents (
  id            TEXT PRIMARY KEY,
  name          TEXT NOT NULL,                    -- the file's name, or its path inside an added folder
  collection_id INTEGER NOT NULL REFERENCES collections(id),
  added_by      TEXT NOT NULL REFERENCES users(id),
  sha256        TEXT NOT NULL,                    -- names the original under originals/
  size_bytes    INTEGER NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('queued', 'parsing', 'embedding', 'indexed', 'no_text', 'refused')),
  error         TEXT,                             -- plain reason when state is 'no_text' or 'refused'
  hint          TEXT,                             -- what the reader may do about it
  notes         TEXT NOT NULL DEFAULT '[]',       -- JSON list of plain remarks ("2 of 9 pages had no text")
  attempts      INTEGER NOT NULL DEFAULT 0,       -- times a worker began; a file that kills it is refused
  num_pages     INTEGER,
  num_chunks    INTEGER NOT NULL DEFAULT 0,
  title         TEXT,
  created_at    TEXT NOT NULL,
  updated_at    TEXT NOT NULL
);
CREATE UNIQUE INDEX documents_once ON documents(collection_id, sha256, name);
CREATE INDEX documents_by_state ON documents(state, created_at);

CREATE TABLE texts (
  document_id TEXT PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE,
  text        TEXT NOT NULL,                      -- all offsets count its characters (code points)
  sections    TEXT NOT NULL                       -- JSON: [[kind, label, start, end, page|null], ...]
) WITHOUT ROWID;

CREATE TABLE chunks (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- also the id in Chroma and the rowid in chunk_terms; never reused
  document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
  ordinal     INTEGER NOT NULL,
  start       INTEGER NOT NULL,                   -- half-open character span in texts.text
  end         INTEGER NOT NULL,
  page        INTEGER,                            -- 1-based page or slide, NULL where the format has none
  place       TEXT NOT NULL,                      -- for people: 'page 3', 'Per diem', 'sheet Budget, rows 2-9'
  num_tokens  INTEGER NOT NULL,
  text        TEXT NOT NULL,                      -- = texts.text[start:end]
  UNIQUE (document_id, ordinal)
);

CREATE TABLE vectors (
  chunk_id INTEGER PRIMARY KEY REFERENCES chunks(id) ON DELETE CASCADE,
  model    TEXT NOT NULL,                         -- embedding model that made it
  vector   BLOB NOT NULL                          -- float32 little endian, L2 norm 1
);

-- Lexical index: one row per chunk, rowid = chunks.id, terms as kit/library/index/terms.py writes them.
CREATE VIRTUAL TABLE chunk_terms USING fts5(
  terms, content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
);

-- What the dense index has to follow, in order; written in the same transaction as the chunks.
CREATE TABLE index_log (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  op       TEXT NOT NULL CHECK (op IN ('add', 'delete')),
  chunk_id INTEGER NOT NULL
);

-- Conversations --------------------------------------------------------------------------------
CREATE TABLE conversations (
  id         TEXT PRIMARY KEY,
  owner_id   TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  title      TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE INDEX conversations_by_owner ON conversations(owner_id, updated_at);

CREATE TABLE messages (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  conversation_id TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
  role            TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
  state           TEXT NOT NULL CHECK (state IN ('complete', 'streaming', 'stopped', 'failed')),
  text            TEXT NOT NULL,
  answer          TEXT,                           -- JSON of the Answer, for role 'assistant'
  feedback        INTEGER NOT NULL DEFAULT 0,     -- 1 good, -1 bad
  created_at      TEXT NOT NULL
);
CREATE INDEX messages_by_conversation ON messages(conversation_id, id);

CREATE TABLE settings (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
