"""Fine-tuning: MoME and projectors on frozen encoders and a frozen LLM, resumable at any step."""
