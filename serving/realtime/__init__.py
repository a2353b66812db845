"""Live transcription: OpenAI's Realtime transcription sessions over a WebSocket, at ``/v1/realtime``."""
