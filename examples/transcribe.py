"""Transcribe recordings with a packaged model: python examples/transcribe.py <bundle> <clip> [<scale>]."""

import sys

import mome

model = mome.load(sys.argv[1])
result = model.transcribe(sys.argv[2], scale=sys.argv[3] if len(sys.argv) > 3 else None)
print(result.text)
