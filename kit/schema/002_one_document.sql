-- Asking one document ---------------------------------------------------------------------------
ALTER TABLE conversations ADD COLUMN document_id TEXT;  -- the one that is asked, also after it was removed; NULL = all

-- In `settings`, 'kit_id' begins the names of what an engine keeps of documents: several kits may use one engine.
INSERT INTO settings VALUES ('kit_id', lower(hex(randomblob(8))));
