"""Tiny but structurally real models as a hub has them: config, safetensors, a real tokenizer.

The weights are random. The tokenizer is the starter model's own, taken out of its GGUF file:
llama.cpp's converter knows tokenizers by what they do, so one trained for a test would be refused.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

CONTROL = 3  # llama.cpp's token type
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tokenizer(gguf_folder: Path, chat_model: Path, folder: Path) -> int:
    """tokenizer.json and tokenizer_config.json of the starter model; the size of its vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    sys.path.insert(0, str(gguf_folder))
    try:
        import gguf
    finally:
        sys.path.remove(str(gguf_folder))
    fields = gguf.GGUFReader(chat_model).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    kinds: list[int] = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    made = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate(tokens)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    made.decoder = decoders.ByteLevel()
    special = [t for t, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    made.add_special_tokens([AddedToken(token, special=True) for token in special])
    whole = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    whole.chat_template = TEMPLATE
    whole.save_pretrained(folder)
    return len(tokens)


def write_decoder(architecture: str, folder: Path, vocab_size: int) -> None:
    """config.json and model.safetensors of a tiny Llama, Qwen2 or Qwen3."""
    import torch
    import transformers

    size: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if architecture == "Qwen3":
        size["head_dim"] = 64
    config = getattr(transformers, f"{architecture}Config")(**size)
    torch.manual_seed(7)
    model = getattr(transformers, f"{architecture}ForCausalLM")(config)
    model.to(torch.float16).save_pretrained(folder, safe_serialization=True)


def write_reranker(embedding_model: Path, folder: Path) -> None:
    """A tiny cross-encoder of random weights; the tokenizer is the starter embedding model's."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(embedding_model / name, folder)
    config = transformers.BertConfig(
        vocab_size=len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        num_labels=1,
    )
    torch.manual_seed(7)
    model = transformers.BertForSequenceClassification(config)
    model.save_pretrained(folder, safe_serialization=True)


def write_encoder(embedding_model: Path, folder: Path) -> None:
    """A tiny BERT of random weights; tokenizer and pooling are the starter embedding model's."""
    import torch
    import transformers

    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(embedding_model / name, folder)
    shutil.copy(embedding_model / "modules.json", folder)
    shutil.copytree(embedding_model / "1_Pooling", folder / "1_Pooling")
    config = transformers.BertConfig(
        vocab_size=len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines()),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    torch.manual_seed(7)
    transformers.BertModel(config).save_pretrained(folder, safe_serialization=True)
