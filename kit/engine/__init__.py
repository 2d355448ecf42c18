"""llama.cpp, and nothing else that could fall with it. The only importer of llama_cpp."""
