-- Summarising, comparing, extracting --------------------------------------------------------------
ALTER TABLE messages ADD COLUMN task TEXT;  -- JSON of what a question stands for; NULL = it is one in words
