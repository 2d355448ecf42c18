-- Who reads and writes which collection ---------------------------------------------------------
-- collections.owner_id: one person, or NULL = the administrators' own ("the house").
CREATE TABLE user_groups (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE COLLATE NOCASE,
  created_at TEXT NOT NULL
);

CREATE TABLE group_members (
  group_id TEXT NOT NULL REFERENCES user_groups(id) ON DELETE CASCADE,
  user_id  TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;
CREATE INDEX group_members_by_user ON group_members(user_id);

-- An owner needs no grant. Whoever may write may read.
CREATE TABLE grants (
  collection_id INTEGER NOT NULL REFERENCES collections(id) ON DELETE CASCADE,
  user_id       TEXT REFERENCES users(id) ON DELETE CASCADE,        -- one person,
  group_id      TEXT REFERENCES user_groups(id) ON DELETE CASCADE,  -- or one group,
  to_everyone   INTEGER NOT NULL DEFAULT 0 CHECK (to_everyone IN (0, 1)),  -- or all who may sign in
  may_write     INTEGER NOT NULL DEFAULT 0 CHECK (may_write IN (0, 1)),
  CHECK ((user_id IS NOT NULL) + (group_id IS NOT NULL) + to_everyone = 1)
);
CREATE UNIQUE INDEX grants_once ON grants(collection_id, coalesce(user_id, ''), coalesce(group_id, ''));
CREATE INDEX grants_by_user ON grants(user_id);
CREATE INDEX grants_by_group ON grants(group_id);

-- Until now a collection without an owner was read by everyone.
INSERT INTO grants (collection_id, to_everyone) SELECT id, 1 FROM collections WHERE owner_id IS NULL;

-- Documents whose passages an answer was written from, also those it does not cite. No reference:
-- what is removed counts as what may not be read.
CREATE TABLE message_sources (
  message_id  INTEGER NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
  document_id TEXT NOT NULL,
  PRIMARY KEY (message_id, document_id)
) WITHOUT ROWID;
INSERT OR IGNORE INTO message_sources
  SELECT m.id, json_extract(cited.value, '$.document_id')
  FROM messages m, json_each(m.answer, '$.citations') cited WHERE m.answer IS NOT NULL
  UNION
  SELECT m.id, json_extract(close.value, '$.document_id')
  FROM messages m, json_each(m.answer, '$.closest') close WHERE m.answer IS NOT NULL;
