"""The connected side: cards, downloads, quantization. models/*.toml -> ModelCard -> files."""
