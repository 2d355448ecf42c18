"""The page: Gradio widgets around the rooms below. It draws and passes on; it decides nothing."""
