-- Of when documents are ---------------------------------------------------------------------------
-- What a file says of itself; a date in its name is read from the name (kit/library/dates.py).
ALTER TABLE documents ADD COLUMN dated TEXT;  -- '2025-03-04', '2025-03' or '2025'; NULL = it says none, or it was read by a kit that did not look
ALTER TABLE documents ADD COLUMN dated_by TEXT CHECK (dated_by IN ('modified', 'created', 'sent', 'published'));  -- what of it says so
