"""The endpoint: OpenAI-compatible transcription at the scale that monitoring chose (BentoML)."""
