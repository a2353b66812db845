"""Fine-tuning methods for a frozen LLM, one folder each, in peft's quartet: config, router, layer, model."""
