"""Word error rate per modality, scale and noise level: measured, drawn, and judged by the gate."""
