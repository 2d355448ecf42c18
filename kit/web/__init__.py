"""The page and its API: they translate, never decide. The only importer of gradio."""
