"""Transcribe with a packaged model: python examples/transcribe.py <bundle or registry> <clip> [<scale>]."""

import sys

import mome

model = mome.load(sys.argv[1])
result = model.transcribe(sys.argv[2], scale=sys.argv[3] if len(sys.argv) > 3 else None)
print(result.text)
for word in result.words:
    print(f"{word.start_s:.2f} to {word.end_s:.2f} s: {word.text} ({word.probability:.0%})")
