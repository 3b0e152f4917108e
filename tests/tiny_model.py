"""A real sentence-transformers BERT model, small enough to be written inside a test.

Its weights come from a seeded generator, its WordPiece vocabulary is a few words and the letters, so
the tokens of a text can be counted by hand: one for each word of `WORDS`, and the two special ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ("fever", "nausea", "pain", "hair", "lung", "breast", "doctor", "sleep", "query", "passage")
MAX_TOKENS = 24

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:!?"
_DIM, _LAYERS, _HEADS, _INNER, _POSITIONS = 32, 2, 2, 64, 64
_MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))


def write_tiny_model(
    folder: Path,
    *,
    pooling: str = "mean",
    include_prompt: bool = True,
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
    max_tokens: int = MAX_TOKENS,
    words: Sequence[str] = WORDS,
    family: str = "bert",
    seed: int = 1,
) -> Path:
    """Write the model into `folder` and return it; `family` may be 'electra', which has the same layers."""
    tokenizer = _tokenizer(words)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file(_weights(family, tokenizer.get_vocab_size(), seed), folder / "model.safetensors")
    described: dict[str, Any] = {
        "config.json": _config(family, tokenizer.get_vocab_size()),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}
        | {f"{name.strip('[]').lower()}_token": name for name in _SPECIAL},
        "modules.json": [
            {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for at, (path, kind) in enumerate(_MODULES)
        ],
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": dict(prompts or {}),
            "default_prompt_name": default_prompt,
        },
        "1_Pooling/config.json": {
            "word_embedding_dimension": _DIM,
            "pooling_mode": pooling,
            "include_prompt": include_prompt,
        },
    }
    for name, content in described.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _tokenizer(words: Sequence[str]) -> Tokenizer:
    pieces = (*_SPECIAL, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *words)
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=_SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _config(family: str, vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": family,
        "architectures": [f"{family.capitalize()}Model"],
        "vocab_size": vocabulary,
        "hidden_size": _DIM,
        "embedding_size": _DIM,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "intermediate_size": _INNER,
        "max_position_embeddings": _POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def _weights(family: str, vocabulary: int, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Drawn wide enough that texts of other words get vectors that point elsewhere."""
    matrices = {
        "embeddings.word_embeddings": (vocabulary, _DIM),
        "embeddings.position_embeddings": (_POSITIONS, _DIM),
        "embeddings.token_type_embeddings": (2, _DIM),
    }
    dense = {"pooler.dense": (_DIM, _DIM)} if family == "bert" else {}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{at}" for at in range(_LAYERS)):
        dense |= {f"{layer}.attention.self.{name}": (_DIM, _DIM) for name in ("query", "key", "value")}
        dense[f"{layer}.attention.output.dense"] = (_DIM, _DIM)
        dense[f"{layer}.intermediate.dense"] = (_INNER, _DIM)
        dense[f"{layer}.output.dense"] = (_DIM, _INNER)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    draw = np.random.default_rng(seed)
    weights = {
        f"{name}.weight": draw.normal(0, 0.2, shape).astype(np.float32)
        for name, shape in (matrices | dense).items()
    }
    weights |= {f"{name}.bias": np.zeros(shape[0], dtype=np.float32) for name, shape in dense.items()}
    weights |= {f"{name}.weight": np.ones(_DIM, dtype=np.float32) for name in norms}
    return weights | {f"{name}.bias": np.zeros(_DIM, dtype=np.float32) for name in norms}
