"""What a person wants to know first about a rehearsal, in Markdown."""

from __future__ import annotations

from mome.records import Rehearsal
from mome.reporting.card import bullets, card, columns

__all__ = ["rehearsal_card"]


def rehearsal_card(rehearsal: Rehearsal) -> str:
    """Return requests, switches, latency and word errors of a rehearsal."""
    counts = rehearsal.requests
    about = [
        ("corpus", rehearsal.corpus),
        ("requests", f"{counts.sent} sent, {counts.answered} answered, {counts.lost} lost"),
        ("noise of the middle phase", f"babble at {rehearsal.snr_db:g} dB"),
    ]
    switches = [(f"{switch.from_scale} to {switch.to_scale}", switch.reason) for switch in rehearsal.switches]
    latency = [
        [scale, f"{cell.p50:.0f} ms", f"{cell.p95:.0f} ms", cell.requests]
        for scale, cell in rehearsal.latency_ms.items()
    ]
    errors = [
        [phase, f"{cell.rate:.1%}", f"{cell.errors} / {cell.words}"] for phase, cell in rehearsal.wer.items()
    ]
    return card(
        f"Rehearsal on {rehearsal.corpus}",
        bullets(about),
        "## Switches of the scale",
        bullets(switches) if switches else "None.",
        columns(["scale", "median latency", "95th percentile", "requests"], latency),
        columns(["phase", "word error rate", "edits / words"], errors) if errors else "",
    )
