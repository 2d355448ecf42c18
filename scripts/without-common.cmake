# Included by CMake after llama-cpp-python's project() line: leaves out llama.cpp's "common" library
# (argument parsing, chat parsers, downloads), which the Python bindings never load.
set(LLAMA_BUILD_COMMON OFF)
