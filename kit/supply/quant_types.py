"""How many bits a weight takes in each of llama.cpp's quantization types."""

from __future__ import annotations

# Of whole files, by llama.cpp's own tables for Llama 3.1 8B: tools/quantize/README.md, and the
# sizes in quantize.cpp for Q4_0 to Q5_1. Mixes keep some tensors larger, so the real figure differs
# from model to model, most for small ones with large vocabularies. MXFP4_MOE is counted for
# gpt-oss-20b: experts in blocks of 17 bytes for 32 weights, the rest as Q8_0.
BITS_PER_WEIGHT = {
    "Q2_K": 3.16,
    "IQ3_XS": 3.50,
    "IQ3_M": 3.76,
    "Q3_K_S": 3.64,
    "Q3_K_M": 4.00,
    "Q3_K_L": 4.30,
    "IQ4_XS": 4.46,
    "MXFP4_MOE": 4.62,
    "Q4_0": 4.64,
    "Q4_K_S": 4.67,
    "IQ4_NL": 4.68,
    "Q4_K_M": 4.89,
    "Q4_1": 5.11,
    "Q5_K_S": 5.57,
    "Q5_0": 5.57,
    "Q5_K_M": 5.70,
    "Q5_1": 6.04,
    "Q6_K": 6.56,
    "Q8_0": 8.5,
    "F16": 16.0,
    "BF16": 16.0,
    "F32": 32.0,
}
