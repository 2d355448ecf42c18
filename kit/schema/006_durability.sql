-- Documents that were removed, until no trace of them is left (kit/ops/purge.py) --------------------
CREATE TABLE removals (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  document_id TEXT NOT NULL,
  sha256      TEXT NOT NULL,                      -- of the original that has to go
  name        TEXT NOT NULL,
  title       TEXT,
  text        TEXT NOT NULL,                      -- what conversations may quote; gone when the purge is done
  removed_at  TEXT NOT NULL,
  emptied_at  TEXT                                -- when conversations were first cleared of it
);

-- Vectors of two embedding models, while one takes the other's place --------------------------------
CREATE TABLE vectors_by_model (
  chunk_id INTEGER NOT NULL REFERENCES chunks(id) ON DELETE CASCADE,
  model    TEXT NOT NULL,                         -- embedding model that made it
  vector   BLOB NOT NULL,                         -- float32 little endian, L2 norm 1
  PRIMARY KEY (chunk_id, model)
);
INSERT INTO vectors_by_model SELECT chunk_id, model, vector FROM vectors;
DROP TABLE vectors;
ALTER TABLE vectors_by_model RENAME TO vectors;
