-- Asking one document ---------------------------------------------------------------------------
ALTER TABLE conversations ADD COLUMN document_id TEXT;  -- the one that is asked, also after it was removed; NULL = all

-- One row. It begins the names of what an engine keeps of documents: several kits may use one engine.
CREATE TABLE this_kit (
  id TEXT NOT NULL
);
INSERT INTO this_kit VALUES (lower(hex(randomblob(8))));
