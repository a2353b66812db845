// Calls to the service, with the key if one is set.

export const $ = id => document.getElementById(id);

// Textual content only, never markup: what a model or a message says is not ours.
export const show = (id, value) => { $(id).textContent = value; };

export const key = () => $("key").value;

export const call = async (path, options = {}) => {
  const headers = key() ? { Authorization: "Bearer " + key() } : {};
  const reply = await fetch(path, { ...options, headers });
  const body = await reply.json();
  if (!reply.ok) throw new Error(body.error?.message ?? reply.statusText);
  return body;
};

// Noise suppression would hide the very thing that the scale follows.
export const microphone = { noiseSuppression: false, autoGainControl: false, echoCancellation: false };

export const noise = facts => facts.snr_db === null ? "no speech to measure"
  : `${facts.snr_db.toFixed(1)} dB${facts.snr_confident ? "" : " (uncertain)"}`;
