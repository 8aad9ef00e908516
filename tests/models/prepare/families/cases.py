"""The table of models that are prepared and compared with transformers: family, head, tokenizer and files."""

from __future__ import annotations

from tests.models.prepare.families.checkpoints import Head, Recipe, Weights

__all__ = ["SERVED"]

_S = Head.SENTIMENT
#: By the name that the test has.
SERVED: dict[str, Recipe] = {
    "albert": Recipe("albert", "AlbertTokenizer"),
    "albert-slow": Recipe("albert", "AlbertTokenizer", has_json=False),
    "bart-nli": Recipe("bart", "BartTokenizer", Head.NLI),
    "bart-questions": Recipe("bart", "BartTokenizer", Head.QUESTIONS),
    "bert": Recipe("bert", "BertTokenizer"),
    "bert-vocab-pickle": Recipe("bert", "BertTokenizer", weights=Weights.PICKLE, has_json=False),
    "bert-questions": Recipe("bert", "BertTokenizer", Head.QUESTIONS),
    "bert-nli-unnamed": Recipe("bert", "BertTokenizer", Head.NLI_UNNAMED),
    "bert-nli-between": Recipe("bert", "BertTokenizer", Head.NLI_BETWEEN),
    "bert-without-types": Recipe(
        "bert", "BertTokenizer", settings={"model_input_names": ["input_ids", "attention_mask"]}
    ),
    "bert-cut-left": Recipe("bert", "BertTokenizer", settings={"truncation_side": "left"}),
    "bert-score": Recipe("bert", "BertTokenizer", Head.SCORE),
    "big_bird": Recipe("big_bird", "BigBirdTokenizer"),
    "camembert-slow": Recipe("camembert", "CamembertTokenizer", has_json=False),
    "convbert": Recipe("convbert", "ConvBertTokenizer"),
    "data2vec": Recipe("data2vec-text", "RobertaTokenizer"),
    "deberta": Recipe("deberta", "DebertaTokenizer"),
    "deberta-v3-nli": Recipe("deberta-v2", "DebertaV2Tokenizer", Head.NLI_TWO),
    "deberta-v3-slow": Recipe("deberta-v2", "DebertaV2Tokenizer", Head.NLI_ENTAILMENT_FIRST, has_json=False),
    "deberta-v3-fp16": Recipe("deberta-v2", "DebertaV2Tokenizer", weights=Weights.FP16),
    "distilbert-bf16": Recipe("distilbert", "DistilBertTokenizer", weights=Weights.BF16),
    "electra": Recipe("electra", "ElectraTokenizer"),
    "electra-questions": Recipe("electra", "ElectraTokenizer", Head.QUESTIONS),
    "ernie": Recipe("ernie", "BertTokenizer"),
    "go-emotions": Recipe("roberta", "RobertaTokenizer", Head.EMOTIONS),
    "gpt2": Recipe("gpt2", "GPT2Tokenizer"),
    "gpt2-padded": Recipe("gpt2", "GPT2Tokenizer", settings={"pad_token": "<|endoftext|>"}),
    "ibert": Recipe("ibert", "RobertaTokenizer"),
    "llama": Recipe("llama", "LlamaTokenizer", settings={"pad_token": "</s>"}),
    "megatron-bert": Recipe("megatron-bert", "BertTokenizer"),
    "mistral": Recipe("mistral", "LlamaTokenizer", settings={"pad_token": "</s>"}),
    "mobilebert": Recipe("mobilebert", "MobileBertTokenizer"),
    "modernbert": Recipe("modernbert", "PreTrainedTokenizer"),
    "modernbert-nli": Recipe("modernbert", "PreTrainedTokenizer", Head.NLI_TWO_REVERSED),
    "modernbert-questions": Recipe("modernbert", "PreTrainedTokenizer", Head.QUESTIONS),
    "mpnet": Recipe("mpnet", "MPNetTokenizer"),
    "opt": Recipe("opt", "GPT2Tokenizer", settings={"pad_token": "<|endoftext|>"}),
    "qwen2": Recipe("qwen2", "Qwen2Tokenizer", settings={"pad_token": "<|endoftext|>"}),
    "qwen3-left": Recipe("qwen3", "Qwen2Tokenizer", settings={"pad_token": "<|endoftext|>", "padding_side": "left"}),
    "rembert": Recipe("rembert", "RemBertTokenizer"),
    "roberta-shards": Recipe("roberta", "RobertaTokenizer", weights=Weights.SHARDS),
    "roberta-topics": Recipe("roberta", "RobertaTokenizer", Head.TOPICS, has_json=False),
    "roberta-questions": Recipe("roberta", "RobertaTokenizer", Head.QUESTIONS),
    "roberta-prelayernorm": Recipe("roberta-prelayernorm", "RobertaTokenizer"),
    "squeezebert": Recipe("squeezebert", "SqueezeBertTokenizer"),
    "xlm-roberta": Recipe("xlm-roberta", "XLMRobertaTokenizer", Head.TOPICS),
    "xlm-roberta-slow": Recipe("xlm-roberta", "XLMRobertaTokenizer", Head.NLI, has_json=False),
    "xlm-roberta-xl": Recipe("xlm-roberta-xl", "XLMRobertaTokenizer"),
}
