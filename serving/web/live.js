// Live captions over the WebSocket: the microphone, and the camera beside it.

import { $, key, microphone, noise, show } from "./service.js";

const RATE = 24000, MOST_LINES = 100, FRAME_MS = 40, FRAMES = 6;
let session = null;

const base64 = buffer => btoa(Array.from(new Uint8Array(buffer), byte => String.fromCharCode(byte)).join(""));

const line = id => {
  const found = $("captions").querySelector(`[data-item="${id}"]`);
  if (found) return found;
  $("captions").querySelector(".empty")?.remove();
  const made = document.createElement("p");
  made.dataset.item = id;
  made.className = "speaking";
  $("captions").append(made);
  while ($("captions").children.length > MOST_LINES) $("captions").firstElementChild.remove();
  return made;
};

const follow = () => { $("captions").scrollTop = $("captions").scrollHeight; };

const state = text => { if (session) show("live-state", text); };

const PREFIX = "conversation.item.input_audio_transcription.";
const handlers = {
  "input_audio_buffer.speech_started": () => state("somebody speaks"),
  "input_audio_buffer.speech_stopped": () => state("listening"),
  [PREFIX + "delta"]: event => { line(event.item_id).append(event.delta); follow(); },
  [PREFIX + "completed"]: event => {
    if (!event.transcript) { $("captions").querySelector(`[data-item="${event.item_id}"]`)?.remove(); return; }
    const made = line(event.item_id), facts = document.createElement("small");
    facts.textContent = `${event.x_mome.scale} · ${noise(event.x_mome)} · ${event.x_mome.modalities.join(" and ")}`;
    made.className = "";
    made.replaceChildren(event.transcript, " ", facts);
    follow();
    document.dispatchEvent(new Event("answered"));
  },
  [PREFIX + "failed"]: event => {
    const made = line(event.item_id);
    made.className = "error";
    made.textContent = event.error.message;
  },
  "input_video_buffer.mouth": event => {
    $("mouth").hidden = event.image === null;
    if (event.image !== null) $("mouth").src = "data:image/png;base64," + event.image;
    show("mouth-note", event.image === null ? "no face found" : "the mouth, as the model sees it");
  },
  // After a stop nothing may be left to commit.
  "error": event => { if (session) complain(event.error.message); },
};

const complain = message => {
  $("live-state").className = "error";
  show("live-state", message);
};

const open = () => new Promise((resolve, reject) => {
  const address = new URL("v1/realtime?intent=transcription", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  // A page can send no header with a WebSocket: the key goes where OpenAI's own pages put it.
  const socket = new WebSocket(address, ["realtime", ...(key() ? ["openai-insecure-api-key." + key()] : [])]);
  socket.onopen = () => resolve(socket);
  socket.onerror = () => reject(new Error("the service did not open a session; is the key right?"));
});

const watch = (started, stream) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 240];
  let frames = [], busy = false;
  $("self").srcObject = stream;
  $("self").play();
  started.timer = setInterval(async () => {
    if (busy || $("self").readyState < 2) return;
    busy = true;
    // Its moment on the clock of the sound: as much as was heard by now.
    const at_ms = Math.round(started.heard_ms());
    canvas.getContext("2d").drawImage($("self"), 0, 0, canvas.width, canvas.height);
    const blob = await new Promise(resolve => canvas.toBlob(resolve, "image/jpeg", 0.85));
    frames.push({ at_ms, image: base64(await blob.arrayBuffer()) });
    busy = false;
    if (frames.length < FRAMES || started.socket.readyState !== WebSocket.OPEN) return;
    started.socket.send(JSON.stringify({ type: "input_video_buffer.append", frames }));
    frames = [];
  }, FRAME_MS);
};

const start = async () => {
  const sees = $("watch").checked;
  const started = { sent: 0, at: 0 };
  session = started;
  $("live-state").className = "muted";
  show("live-state", "starting …");
  try {
    const video = sees && { width: 640, height: 480, frameRate: 25 };
    started.stream = await navigator.mediaDevices.getUserMedia({ audio: microphone, video });
    started.socket = await open();
    started.context = new AudioContext();
    await started.context.audioWorklet.addModule("microphone.js");
  } catch (error) {
    stop();
    complain(error.message);
    return;
  }
  const { context, socket, stream } = started;
  socket.onmessage = message => { const event = JSON.parse(message.data); handlers[event.type]?.(event); };
  socket.onclose = () => { if (session === started) stop(); };
  socket.send(JSON.stringify({
    type: "session.update",
    session: {
      type: "transcription",
      audio: { input: { format: { type: "audio/pcm", rate: RATE } } },
      compression_scale: $("live-scale").value || null,
      ...(sees && { mouth: true }),
    },
  }));
  const packets = new AudioWorkletNode(context, "packets", { numberOfOutputs: 0 });
  started.heard_ms = () => started.at === 0 ? 0 : started.sent + performance.now() - started.at;
  packets.port.onmessage = ({ data }) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    started.sent += 1000 * data.byteLength / 2 / RATE;
    started.at = performance.now();
    socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio: base64(data) }));
  };
  context.createMediaStreamSource(stream).connect(packets);
  $("live").classList.toggle("seeing", sees);
  $("sight").hidden = !sees;
  if (sees) watch(started, stream);
  show("live-state", "listening");
  show("listen", "Stop");
  $("listen").className = "active";
};

const stop = () => {
  const { stream, socket, context, timer } = session ?? {};
  session = null;
  clearInterval(timer);
  stream?.getTracks().forEach(track => track.stop());
  context?.close();
  if (socket?.readyState === WebSocket.OPEN) {
    // What was said last is still answered; then the connection goes.
    socket.send(JSON.stringify({ type: "input_audio_buffer.commit" }));
    setTimeout(() => socket.close(1000), 2000);
  }
  $("self").srcObject = null;
  $("sight").hidden = true;
  $("live").classList.remove("seeing");
  $("listen").className = "primary";
  show("listen", "Start listening");
  if (!$("live-state").classList.contains("error")) show("live-state", "");
};

$("listen").addEventListener("click", () => session ? stop() : start());
