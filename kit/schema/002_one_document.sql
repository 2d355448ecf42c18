-- Asking one document ---------------------------------------------------------------------------

-- What a conversation asks: one document, or all of them where it is NULL. A document that was
-- removed stays named, so that its conversation does not turn to the others by itself.
ALTER TABLE conversations ADD COLUMN document_id TEXT;

-- Whose documents an engine has pinned: several kits may use one engine.
INSERT INTO settings VALUES ('kit_id', lower(hex(randomblob(8))));
