-- Where the words of recognised pages stand ---------------------------------------------------------
CREATE TABLE page_words (                         -- none of what was read by a kit that did not keep them
  document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
  page        INTEGER NOT NULL,                   -- 1-based
  start       INTEGER NOT NULL,                   -- where the recognised text begins in the page's
  words       BLOB NOT NULL,                      -- zlib of JSON, kit/library/word_boxes.py; 4 to 5 bytes a word
  PRIMARY KEY (document_id, page)
) WITHOUT ROWID;
